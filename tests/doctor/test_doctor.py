"""What is missing is said before a run, with the way to get it; nothing is made and no weights are downloaded."""

import os
import shutil
import subprocess
import sys

import pytest
from huggingface_hub import constants

from tests.doctor.words import COMMIT, REPO, SD
from zz.hub import location as hub


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
