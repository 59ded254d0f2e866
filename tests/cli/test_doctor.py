"""What is missing is said before a run, with the way to get it; nothing is made and no weights are downloaded."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import zz.cli.verbs.doctor
import zz.doctor
import zz.plan
from tests.parity import tiny, tiny_chat, tiny_flow
from zz.hub import location as hub

COMMIT, REPO = "0123456789abcdef0123456789abcdef01234567", "makers/model"
SD = ["model=sd", "size=16", "dataset=shapes", "scorers=[]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made")
    tiny.sd().save_pretrained(path)
    return path


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "sd")


@pytest.fixture
def cached(made, tmp_path):
    """What a finished download leaves behind."""
    home = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return shutil.copytree(made, home / "snapshots" / COMMIT)


@pytest.fixture(autouse=True)
def empty_hub(tmp_path, monkeypatch):
    """A hub's cache and a token of its own for each test; weights cannot be downloaded."""

    def refuse(*args, **kwargs):
        pytest.fail("weights are downloaded")

    small = hub.hf_hub_download

    def fetch(repo, path, **kwargs):
        return small(repo, path, **kwargs) if path.endswith(".json") else refuse()

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(hub, "snapshot_download", refuse)
    monkeypatch.setattr(hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)
    hub._on_hub.cache_clear()


@pytest.fixture
def doctor(monkeypatch, capfd, store_path, tmp_path, tmp_path_factory):
    """Run the command; return its exit code, each check's state, its output and its errors. It must make nothing."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("sweep")))
    monkeypatch.chdir(tmp_path)

    def run(*args):
        before = sorted(tmp_path.rglob("*"))
        words = args if any(word.startswith("store=") for word in args) else (f"store={store_path}", *args)
        monkeypatch.setattr(sys, "argv", ["zz.doctor", *words])
        capfd.readouterr()
        code = zz.doctor.main()
        out, err = capfd.readouterr()
        assert sorted(tmp_path.rglob("*")) == before and "Traceback" not in out + err
        return code, dict(re.findall(r"^(\w+(?: weights)?) +(ok|missing|unknown) ", out, re.M)), out, err

    return run


@pytest.fixture
def room(monkeypatch):
    """Set what is free: GB of memory by device, and of disk."""

    def free(memory=None, disk=None):
        if memory:
            monkeypatch.setattr(zz.cli.verbs.doctor, "room", lambda runner: memory)
        if disk is not None:
            monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=disk * 1e9))

    return free


def test_the_model_that_comes_with_zz_is_whole(doctor):
    code, states, out, _ = doctor()
    assert code == 0 and "everything needed is here" in out
    assert states == dict.fromkeys(
        ("python", "devices", "packages", "model", "weights", "memory", "facts", "recipe", "store"), "ok"
    )
    assert "licence: Apache-2.0" in out and "prediction_type=epsilon, 32x32" in out


def test_the_exact_model_needs_nothing(doctor):
    code, states, out, _ = doctor("model=mixture")
    assert code == 0 and list(states) == ["python", "devices", "model", "recipe", "store"]
    assert "mixture needs nothing: it has no weights" in out


@pytest.mark.parametrize("harm", ["removed", "cut", "pointer"])
def test_a_folder(doctor, folder, harm):
    line = [*SD, f"model.pretrained={folder}", "model.card.memory_gb=0.1"]
    assert doctor(*line)[0] == 0
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    if harm == "removed":
        weights.unlink()
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    code, states, out, _ = doctor(*line)
    assert code == 1 and [name for name, state in states.items() if state == "missing"] == ["weights"]
    said = "vae: no weights" if harm == "removed" else "vae: diffusion_pytorch_model.safetensors cut short"
    assert said in out and f"weights: copy vae into {folder} again" in out


def test_a_folder_that_is_not_there(doctor):
    code, states, out, _ = doctor("model=sd", "model.pretrained=/nowhere")
    assert code == 1 and states["model"] == "missing" and "weights" not in states
    assert "model.pretrained=/nowhere is neither a folder that is there nor a hub id" in out


@pytest.mark.slow
def test_nothing_is_here_and_there_is_no_network(tmp_path):
    """As a person would meet it: a process of its own, with an empty HF_HOME."""
    env = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, "-m", "zz.doctor", "model=sdxl", f"store={tmp_path / 'store'}"]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert "nothing of scheduler, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, vae" in done.stdout
    assert "6.9 GB in all; HF_HUB_OFFLINE is set" in done.stdout
    assert f"unset HF_HUB_OFFLINE, then zz.run brings it into {tmp_path / 'hf' / 'hub'}" in done.stdout
    assert "hf download stabilityai/stable-diffusion-xl-base-1.0 --include" in done.stdout
    assert "--include 'unet/*.fp16*.safetensors'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_repository_here_whole_is_pinned_by_its_commit(doctor, cached, room):
    room(disk=2)
    line = [*SD, f"model.pretrained={REPO}", "model.card.download_gb=5"]
    code, states, out, _ = doctor(*line)
    assert code == 0 and states["weights"] == states["disk"] == "ok", "nothing is left to download"
    assert "not pinned: revision is null" in out and f"model.revision={COMMIT} pins it" in out
    code, _, out, _ = doctor(*line, f"model.revision={COMMIT}")
    assert code == 0 and f"pinned at {COMMIT}" in out and "not pinned" not in out


def test_a_mirror_and_a_part_from_elsewhere(doctor, cached, folder):
    code, states, out, _ = doctor(*SD, "model.pretrained=gone/model", f"model.mirrors=[{REPO}]", "model.unet=gone/unet")
    assert code == 1 and states["model"] == states["weights"] == "ok"
    assert states["unet"] == states["unet weights"] == "missing"
    assert f"{REPO}, a mirror of gone/model" in out and f"model.pretrained={REPO}@{COMMIT} pins it" in out
    assert "hf download gone/unet --include" in out
    code, states, _, _ = doctor(*SD, f"model.pretrained={REPO}", f"model.unet={folder}")
    assert code == 0 and states["unet weights"] == "ok"


def test_a_download_cut_short(doctor, cached):
    unet = cached / "unet"
    whole = unet / "diffusion_pytorch_model.safetensors"
    whole.rename(unet / "diffusion_pytorch_model-00001-of-00002.safetensors")
    shutil.rmtree(cached / "text_encoder")
    code, states, out, _ = doctor(*SD, f"model.pretrained={REPO}", "model.card.download_gb=1")
    assert code == 1 and states["model"] == "ok" and states["weights"] == "missing"
    assert "nothing of text_encoder; unet: 1 of 2 weights files; 1 GB in all" in out
    assert "hf download makers/model --include" in out and "--include 'unet/*model.safetensors'" in out


def test_what_is_here_needs_no_room_again(doctor, cached, room):
    line = [*SD, f"model.pretrained={REPO}"]
    shutil.rmtree(cached / "text_encoder")
    here = sum(path.stat().st_size for path in cached.rglob("*.safetensors")) / 1e9
    room(disk=1)
    for need, state in ((1 + here * 0.9, "ok"), (1 + here * 1.1, "missing")):
        assert doctor(*line, f"model.card.download_gb={need}")[1]["disk"] == state
    assert doctor(*line)[1]["disk"] == "unknown"


def test_a_gated_model_wants_a_token(doctor, monkeypatch, tmp_path):
    line = [*SD, f"model.pretrained={REPO}", "model.card.gated=true"]
    code, states, out, _ = doctor(*line)
    assert code == 1 and states["token"] == "missing"
    assert "accept its terms at https://huggingface.co/makers/model, then log in with `hf auth login`" in out
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code, states, out, err = doctor(*line)
    assert code == 1 and states["token"] == "ok" and "hf_secret" not in out + err
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("hf_secret")
    code, states, out, err = doctor(*line)
    assert states["token"] == "ok" and "one is saved in" in out and "hf_secret" not in out + err


def test_a_gated_model_that_is_here_wants_none(doctor, cached):
    code, states, _, _ = doctor(*SD, f"model.pretrained={REPO}", "model.card.gated=true")
    assert code == 0 and states["token"] == "ok"


def test_room(doctor, room):
    room(disk=3)
    code, states, out, _ = doctor(*SD, f"model.pretrained={REPO}", "model.card.download_gb=5")
    assert code == 1 and states["disk"] == "missing" and states["store"] == "ok"
    assert "3.0 GB free at" in out and "5.0 GB needed" in out and "set HF_HOME to a folder on a larger disk" in out
    room(disk=0.01)
    code, states, out, _ = doctor()
    assert code == 1 and states["store"] == "missing" and "choose another with store=PATH" in out


def test_a_store_that_cannot_be_written(doctor):
    code, states, out, _ = doctor("store=/dev/null/here")
    assert code == 1 and states["store"] == "missing" and "/dev/null/here cannot be written" in out


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


def test_without_a_network_it_is_said_at_once(monkeypatch):
    """Nothing is tried five times over, and doctor is named."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.reachable.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"cannot be reached.*`python -m zz\.doctor` with the same words says"):
            hub.find("model.pretrained", "stabilityai/stable-diffusion-xl-base-1.0", ("model_index.json",))
    finally:
        hub.reachable.cache_clear()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model=sdxl9", "model=sdxl9 is not known"),
        ("model=sd", "model.pretrained is not set; set it with model.pretrained="),
        ("runner.precision=64", "runner.precision=64 is not known"),
        ("model=mixture runner.precision=16", "the exact model is exact in 32 only"),
        ("size=0", "size=0 must be a whole number of pixels"),
        ("store=", "store= must be a folder"),
    ],
)
def test_bad_input_gets_one_message(doctor, line, said):
    code, _, out, err = doctor(*line.split())
    assert code == 2 and err.startswith("error: ") and said in err and len(err.splitlines()) == 1 and not out


def test_a_sweep_looks_at_each_model_once(doctor):
    code, _, out, _ = doctor("model=shapes,mixture", "lambda=0,1", "-m")
    assert code == 0 and out.count("everything needed is here") == 2


def test_gpus_are_named_with_what_is_free(doctor, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda place: "Large [GPU]")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda place: (int(70e9), int(80e9)))
    code, _, out, _ = doctor()
    assert code == 0 and "cuda:0 (Large [GPU], 70.0 GB free), cuda:1 (Large [GPU], 70.0 GB free)" in out


def test_a_gpu_that_torch_does_not_see(doctor, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("zz.lab.machine.shutil.which", lambda name: f"/bin/{name}")
    code, states, out, _ = doctor()
    assert code == 0 and states["devices"] == "unknown" and "nvidia-smi is here, but torch" in out
    assert doctor("runner.devices=cpu")[1]["devices"] == "ok"


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
