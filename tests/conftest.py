import os
import signal
import sys

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background, and the commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # by nohup, likewise
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HYDRA_FULL_ERROR", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch

import zz.run

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What is marked ci or cluster is slow, too."""
    for item in items:
        if item.get_closest_marker("ci") or item.get_closest_marker("cluster"):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True)
def _no_extension_of_another_test(tmp_path_factory):
    """Packages that a test makes and names in extensions=[...] are found anew by the next one."""
    yield
    made = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(made):
            del sys.modules[name]
    if "zz.cli.extensions" in sys.modules:
        extensions = sys.modules["zz.cli.extensions"]
        for package in extensions.packages[1:]:
            for name in [name for name in sys.modules if name.split(".")[0] == package]:
                del sys.modules[name]
        extensions.load([])


@pytest.fixture
def store_path(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def cli(monkeypatch, capfd, store_path, tmp_path):
    """Run a command in this process; return its exit code, its output and its errors."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words, command=zz.run):
        monkeypatch.setattr(sys, "argv", [command.__name__, f"store={store_path}", *words])
        capfd.readouterr()
        return command.main(), *capfd.readouterr()

    return run
