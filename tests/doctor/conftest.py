"""A doctor that makes nothing, a hub of its own for each test, and a machine with the room that a test wants."""

import re
import shutil
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

import zz.cli.verbs.doctor
import zz.doctor
import zz.plan
from tests.doctor.words import COMMIT, REPO
from tests.parity import tiny
from zz.hub import location as hub


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
