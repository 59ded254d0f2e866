"""What prompt sets and scorers still need is listed in bytes, and `download=true` brings it."""

import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

import zz.doctor
import zz.plan
from zz.hub.location import reachable
from zz.hub.published import Published

TABLE = "Prompts,Category\n" + "".join(f"a red star {n},Colors\n" for n in range(200))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A prompt set and a scorer's file on a machine of their own; the words that ask for them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.chdir(tmp_path)
    reachable.cache_clear()
    there = tmp_path / "there"
    there.mkdir()
    (there / "set.csv").write_text(TABLE)
    (there / "head.pth").write_bytes(b"0" * 1234)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(there)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    at = f"http://127.0.0.1:{server.server_port}"
    yield [
        f"store={tmp_path / 'store'}",
        "dataset=drawbench",
        f"dataset.file.source={at}/set.csv",
        f"dataset.file.sha256={hashlib.sha256(TABLE.encode()).hexdigest()}",
        "dataset.file.size=null",
        "scorers=[aesthetic]",
        f"scorers.aesthetic.file.source={at}/head.pth",
        "scorers.aesthetic.file.sha256=null",
        "scorers.aesthetic.file.size=null",
    ]
    server.shutdown()
    server.server_close()
    reachable.cache_clear()


@pytest.fixture
def doctor(monkeypatch, capfd):
    def run(*words):
        monkeypatch.setattr("sys.argv", ["zz.doctor", *words])
        capfd.readouterr()
        code = zz.doctor.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_what_is_missing_is_listed_in_bytes_with_the_way_to_get_it(doctor, served, tmp_path):
    code, out, _ = doctor(*served)
    assert code == 1
    assert re.search(rf"dataset drawbench +missing +set.csv to download: {len(TABLE):,} bytes, pinned by its dig", out)
    assert re.search(r"scorer aesthetic +missing +head.pth to download: 1,234 bytes, not pinned by a digest", out)
    assert re.search(r"scorer aesthetic +missing +openai/clip-vit-large-patch14@32bd\w+ to download: size not kn", out)
    assert "by hand: hf download openai/clip-vit-large-patch14 --revision 32bd" in out
    assert "`python -m zz.doctor download=true` with the same words downloads what can be" in out
    assert out.count("missing: dataset drawbench, scorer aesthetic\n") == 1
    assert not (tmp_path / "cache").exists() and not (tmp_path / "store").exists(), "nothing is made"


def test_it_is_brought_and_what_cannot_be_is_said_without_losing_the_rest(doctor, served, tmp_path):
    code, out, _ = doctor(*served, "download=true")
    assert code == 1 and "cannot be reached" in out
    assert re.search(r"dataset drawbench +ok +set.csv is here, [\d,]+ bytes, pinned by its digest; licence: MIT", out)
    sha = hashlib.sha256(b"0" * 1234).hexdigest()
    assert re.search(rf"scorer aesthetic +ok +head.pth is here, 1,234 bytes.*: {sha[:12]}... is the first downl", out)
    assert "missing: scorer aesthetic\n" in out
    code, out, _ = doctor(*served[:5], "scorers=[]")
    assert code == 0 and "everything needed is here" in out


def test_another_file_is_named(doctor, served):
    assert doctor(*served[:5], "scorers=[]", "download=true")[0] == 0
    place = Published(served[2].partition("=")[2]).place
    code, out, _ = doctor(*served[:5], "scorers=[]")
    assert code == 0 and re.search("dataset drawbench +ok +200 prompts", out)
    place.write_text("another")
    code, out, _ = doctor(*served[:5], "scorers=[]")
    assert code == 1 and "set.csv is another file" in out and "remove the file, and it is downloaded anew" in out


def test_what_cannot_be_read_is_missing(doctor, served):
    code, out, _ = doctor(served[0], "dataset=drawbench", "dataset.path=/nowhere.csv", "scorers=[geneval_detections]")
    assert code == 1 and "dataset drawbench: dataset.path=/nowhere.csv cannot be read" in out
    assert "scorer geneval_detections: scorers.geneval_detections.path=None is no file" in out


def test_a_model_that_is_no_download_needs_none(doctor, served):
    code, out, _ = doctor(served[0], "model=mixture,shapes", "dataset=shapes", "download=true", "-m")
    assert code == 0 and out.count("everything needed is here") == 2


def test_a_word_that_is_none(doctor, served):
    code, _, err = doctor(served[0], "download=perhaps")
    assert code == 2 and err == "error: download=perhaps must be true or false\n"


@pytest.mark.slow
def test_a_run_whose_scorers_cannot_be_had_makes_nothing_and_says_how_to_go_on(cli, served, store_path):
    words = ["model=mixture", "steps=4", "lambda=null", "dataset.texts=[a red circle]", "dataset=inline", *served[5:]]
    code, _, err = cli(*words)
    assert code == 2 and "error: scorers=aesthetic: openai/clip" in err.replace(
        "scorers=aesthetic=", "scorers=aesthetic: "
    )
    assert "make the pictures first and score them later: scorers=[]" in err
    assert not list(store_path.glob("cells/*/images/*.png"))
    assert cli(*words[:5], "scorers=[]")[0] == 0
    assert cli(*words)[0] == 1, "pictures are there, and what is said of them is shown"
    code, _, err = cli(*words[:4], "dataset=inline", "scorers=[hpsv2_official]", "seed=1")
    assert code == 2 and "make it by: python -m zz.scorers.isolated hpsv2; or make the pictures" in err
