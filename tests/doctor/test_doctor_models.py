"""What a folder of a model lacks: memory, packages, a LoRA, its configuration's facts."""

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch

import zz.cli.verbs.doctor
import zz.doctor
import zz.plan
from tests.doctor.words import SD
from tests.parity import tiny, tiny_chat, tiny_flow


@pytest.mark.parametrize(
    ("device", "words", "state", "said"),
    [
        ("cuda:0", ["runner.precision=16"], "ok", "about 4 GB for one picture in precision 16; 5.0 GB free"),
        ("cuda:0", [], "missing", "memory: runner.precision=16, model.savings.offload=true, runner.batch_size=1"),
        ("cpu", [], "missing", "memory: runner.precision=16, runner.batch_size=1"),
        ("cuda:0", ["model.savings.offload=true"], "unknown", "with offload only its largest part must fit"),
        ("cpu", ["model.savings.offload=true"], "missing", "offload=true needs a GPU to visit"),
        ("cuda:0", ["model.card.memory_gb=null"], "unknown", "the card does not say what is needed"),
    ],
)
def test_memory(doctor, folder, room, device, words, state, said):
    room({device: 5.0, "cuda:1": 80.0} if device != "cpu" else {"cpu": 5.0})
    code, states, out, _ = doctor(*SD, f"model.pretrained={folder}", "model.card.memory_gb=4", *words)
    assert states["memory"] == state and said in out
    assert code == int("missing" in states.values())


def test_offloading_needs_accelerate(doctor, folder, monkeypatch):
    def version(name):
        if name == "accelerate":
            raise PackageNotFoundError
        return "1"

    monkeypatch.setattr("zz.models.doctor.version", version)
    line = [*SD, f"model.pretrained={folder}"]
    assert doctor(*line)[1]["packages"] == "ok"
    code, states, out, _ = doctor(*line, "model.savings.offload=true")
    assert code == 1 and states["packages"] == "missing" and "pip install accelerate" in out


def test_a_lora(doctor, folder, tmp_path, monkeypatch):
    lora = tiny.lora(tiny.sd(), tmp_path / "lora") / "pytorch_lora_weights.safetensors"
    line = [*SD, f"model.pretrained={folder}"]
    code, states, out, _ = doctor(*line, f"model.lora={lora}", "model.lora_scale=-1.5")
    assert code == 0 and states["lora"] == states["facts"] == "ok" and "at scale -1.5" in out and "peft " in out
    assert "lora" not in doctor(*line, "model.lora=/nowhere", "model.lora_scale=0")[1]
    code, states, out, _ = doctor(*line, "model.lora=/nowhere")
    assert code == 1 and states["lora"] == "missing" and states["facts"] == "ok"
    assert "model.lora=/nowhere is neither a folder that is there nor a hub id" in out
    code, states, out, _ = doctor(*line, "model.lora=gone/lora@v2/star.safetensors")
    assert code == 1 and states["lora"] == "missing"
    assert "hf download gone/lora star.safetensors --revision v2" in out
    lora.write_bytes(lora.read_bytes()[:-100])
    code, states, out, _ = doctor(*line, f"model.lora={lora}")
    assert code == 1 and states["lora"] == "missing" and "cut short" in out

    def version(name):
        if name == "peft":
            raise PackageNotFoundError
        return "1"

    monkeypatch.setattr("zz.models.doctor.version", version)
    assert doctor(*line)[1]["packages"] == "ok"
    code, states, out, _ = doctor(*line, f"model.lora={lora}")
    assert states["packages"] == "missing" and "pip install peft" in out


def test_an_npnet(doctor, tmp_path):
    tiny.sdxl().save_pretrained(tmp_path / "sdxl")
    parts = {"unet_svd": {}, "unet_embedding": {}, "embeeding": {"linear.weight": torch.zeros(8, 77 * 40)}}
    torch.save(parts | {"alpha": torch.zeros(1), "beta": torch.zeros(1)}, tmp_path / "sdxl.pth")
    line = ["model=sdxl", f"model.pretrained={tmp_path}/sdxl", "model.variant=null", "dataset=shapes", "scorers=[]"]
    line.append("model.card.memory_gb=1")
    assert "npnet" not in doctor(*line, "size=256")[1]
    code, states, out, _ = doctor(*line, "size=256", f"model.npnet={tmp_path}/sdxl.pth")
    assert code == 0 and states["npnet"] == states["facts"] == "ok", out
    wanted = {
        "size=16": (f"{tmp_path}/sdxl.pth", "maps the noise of 256x256 pixels only"),
        "size=256": ("/nowhere.pth", "/nowhere.pth is neither a file that is there nor a hub id with a file"),
        "size=[256,256]": ("gone/noise@v2/sdxl.pth", "hf download gone/noise sdxl.pth --revision v2"),
    }
    for size, (name, said) in wanted.items():
        code, states, out, _ = doctor(*line, size, f"model.npnet={name}")
        assert code == 1 and states["npnet"] == "missing" and states["facts"] == "ok" and said in out


def test_facts(doctor, folder):
    line = [*SD, f"model.pretrained={folder}"]
    code, states, out, _ = doctor(*line, "model.prediction_type=v_prediction")
    assert code == 1 and states["facts"] == "missing"
    assert "says prediction_type=epsilon, but model.prediction_type=v_prediction is expected" in out
    code, _, out, _ = doctor(*line, "model.variant=fp16")
    assert code == 1 and "no weights of model.variant=fp16" in out
    assert doctor(*line, "size=17")[0] == 1
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    code, _, out, _ = doctor(*line)
    assert code == 1 and "is a StableDiffusionXLPipeline, not a StableDiffusionPipeline" in out


def changed(folder, part, **fields):
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "fields", "words", "said"),
    [
        ("scheduler", {"rescale_betas_zero_snr": True}, "schedule=trailing", "begins where there is no signal"),
        ("scheduler", {"use_karras_sigmas": True}, "", "use_karras_sigmas=True, which is not supported; choose"),
        ("scheduler", {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "", "a discrete noise"),
        ("unet", {"time_cond_proj_dim": 8}, "", "reads more than latents, a time and a text"),
        ("unet", {"addition_embed_type": "text_time"}, "", "addition_embed_type=text_time, which a"),
        ("unet", {"_class_name": "UNetMotionModel"}, "", "has a unet of class UNetMotionModel, not UNet2DCond"),
        ("unet", {"cross_attention_dim": 24}, "", "reads text of width 24, but its text encoders give 16"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "", "has a vae of class AutoencoderTiny, not AutoencoderKL"),
        ("scheduler", {}, "lambda=99 steps=4", "lambda=99 is too many"),
        ("scheduler", {}, "guidance=embedded", "which that of model=sd was not made for"),
        ("scheduler", {}, "schedule=shifted", "needs a rectified-flow model"),
    ],
)
def test_what_a_run_would_refuse_is_said_from_the_files_alone(
    doctor, folder, monkeypatch, capfd, part, fields, words, said
):
    """By the plan too, in one message and before a model is opened."""
    line = [*SD, f"model.pretrained={folder}", *words.split()]
    changed(folder, part, **fields)
    code, states, out, _ = doctor(*line)
    assert code == 1 and [states.get("facts"), states.get("recipe")] in (["missing", None], ["ok", "missing"])
    assert said in out
    monkeypatch.setattr("zz.models.pretrained.description.Pretrained._load", lambda *_: pytest.fail("opened"))
    more = ["dataset=inline", "dataset.texts=[a star]", "scorers=[]", "runner.devices=cpu", f"store={folder}/store"]
    monkeypatch.setattr(sys, "argv", ["zz.plan", *line, *more])
    capfd.readouterr()
    assert zz.plan.main() == 2
    out, err = capfd.readouterr()
    assert said in err and len(err.splitlines()) == 1


def test_zero_terminal_snr_is_no_fault_where_the_schedule_begins_below_it(doctor, folder):
    changed(folder, "scheduler", rescale_betas_zero_snr=True)
    assert doctor(*SD, f"model.pretrained={folder}", "schedule=leading")[0] == 0
    changed(folder, "scheduler", prediction_type="v_prediction")
    assert doctor(*SD, f"model.pretrained={folder}", "schedule=trailing")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("option", ["hunyuan_dit_12", "sd3", "flux_dev", "sana", "wan21"])
def test_a_transformer(doctor, tmp_path, option, monkeypatch):
    """Its parts, what it predicts, its T5 where it has one, and a tokenizer that needs another package."""
    flows = {"sd3": tiny.sd3, "flux_dev": tiny.flux, "sana": tiny_flow.sana, "wan21": tiny_flow.wan}
    make = flows.get(option, lambda: tiny.hunyuan("1.2"))
    make().save_pretrained(tmp_path / "it")
    line = [f"model={option}", *SD[2:], f"model.pretrained={tmp_path / 'it'}", "size=64", "model.card.memory_gb=0.1"]
    line += ["model.variant=null"]
    code, states, out, _ = doctor(*line, "model.card.gated=false")
    assert code == 0 and states["facts"] == states["weights"] == "ok"
    assert f"prediction_type={'v_prediction' if option == 'hunyuan_dit_12' else 'flow_prediction'}, 64x64" in out
    tokenizer = tmp_path / "it" / ("tokenizer" if option in ("sana", "wan21") else "tokenizer_2")
    (tokenizer / "tokenizer.json").unlink()
    (tokenizer / "spiece.model").write_bytes(b"")
    monkeypatch.setattr("zz.models.doctor.version", lambda name: version_or_none(name))
    code, states, out, _ = doctor(*line)
    assert code == 1 and states["packages"] == "missing" and "pip install sentencepiece protobuf" in out
    if option == "sd3":
        shutil.rmtree(tmp_path / "it" / "text_encoder_3")
        assert doctor(*line)[1]["weights"] == "missing"
        assert doctor(*line, "model.t5=false")[1]["weights"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["qwen_image", "z_image", "flux2_klein"])
def test_a_transformer_that_a_chat_model_reads_to(doctor, tmp_path, option):
    getattr(tiny_chat, option)().save_pretrained(tmp_path / "it")
    line = [f"model={option}", *SD[2:], f"model.pretrained={tmp_path / 'it'}", "size=64", "model.card.memory_gb=0.1"]
    code, states, out, _ = doctor(*line)
    assert code == 0 and states["facts"] == states["weights"] == "ok"
    assert "prediction_type=flow_prediction, 64x64" in out and "licence: Apache-2.0" in out
    code, states, out, _ = doctor(*line[:-2], "size=72")
    assert code == 1 and states["facts"] == "missing" and "must be multiples of 16" in out
    (tmp_path / "it" / "vae" / "config.json").unlink()
    assert doctor(*line)[1]["weights"] == "missing"


def version_or_none(name):
    if name in ("sentencepiece", "protobuf"):
        raise PackageNotFoundError
    return "1"
