"""Files as their authors publish them: downloaded once, resumed, checked, and one message where that cannot be."""

import errno
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from zz.hub import published
from zz.hub.published import Published

TEXT = b"prompt,category\r\n" + b"".join(b"a red star %d,Colors\r\n" % n for n in range(20_000))
SHA = hashlib.sha256(TEXT).hexdigest()


class Source(BaseHTTPRequestHandler):
    """Gives TEXT for any path; what is in `asked` came here; `habit` says how it misbehaves."""

    asked: list[str | None]
    habit: str

    def do_GET(self):
        self.asked.append(self.headers.get("Range"))
        if self.habit == "gone":
            return self.send_error(404)
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(start[1]) if start and self.habit != "no ranges" else 0
        if first >= len(TEXT):
            return self.send_error(416)
        self.send_response(206 if first else 200)
        if self.habit != "no length":
            self.send_header("Content-Length", str(len(TEXT) - first))
        self.end_headers()
        self.wfile.write(TEXT[first : len(TEXT) // 2] if self.habit == "cut" else TEXT[first:])

    def do_HEAD(self):
        self.send_response(404 if self.habit == "gone" else 200)
        if self.habit != "no length":
            self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    handler = type("Handler", (Source,), {"asked": [], "habit": ""})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}/set/prompts.csv"
    yield handler
    server.shutdown()
    server.server_close()


def test_a_file_is_downloaded_once_and_checked(source):
    file = Published(source.url, sha256=SHA)
    assert file.here is None
    assert file.fetch("dataset=x").read_bytes() == TEXT
    assert file.fetch("dataset=x") == file.here == file.place
    assert len(source.asked) == 1
    assert not list(file.place.parent.glob("*.part"))


@pytest.mark.parametrize("habit", ["", "no ranges", "no length"])
def test_a_download_that_ended_early_goes_on(source, habit):
    file = Published(source.url, sha256=SHA)
    source.habit = "cut"
    with pytest.raises(ValueError, match=re.escape(f"fetch {source.url} by hand and put it at {file.place}")):
        file.fetch("dataset=x")
    half = file.place.with_name("prompts.csv.part")
    assert half.stat().st_size == len(TEXT) // 2
    source.habit = habit
    assert file.fetch("dataset=x").read_bytes() == TEXT
    assert source.asked == [None, f"bytes={len(TEXT) // 2}-"]


def test_a_rest_of_another_version_is_dropped(source):
    file = Published(source.url, sha256=SHA)
    file.place.parent.mkdir(parents=True)
    file.place.with_name("prompts.csv.part").write_bytes(TEXT + b"more")
    assert file.fetch("dataset=x").read_bytes() == TEXT


def test_a_wrong_digest_is_refused_and_kept(source):
    file = Published(source.url, sha256="0" * 64)
    with pytest.raises(ValueError, match=rf"dataset=x: .*SHA-256 is {SHA}, but 0000.* is the digest of this version"):
        file.fetch("dataset=x")
    assert file.here


def test_a_size_that_is_wrong_is_refused(source):
    with pytest.raises(ValueError, match=f"it has {len(TEXT):,} bytes, not 7; remove the file"):
        Published(source.url, size=7).fetch("dataset=x")


def test_a_size_that_is_not_known_is_asked_for_and_may_stay_unknown(source, monkeypatch):
    assert Published(source.url).announced == len(TEXT) and source.asked == []
    assert Published(source.url, size=7).announced == 7
    for habit in ("gone", "no length"):
        source.habit = habit
        assert Published(source.url).announced is None
    assert Published("http://127.0.0.1:9/prompts.csv").announced is None
    source.habit = ""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Published(source.url).announced is None


def test_an_unknown_digest_is_that_of_the_first_download(source):
    file = Published(source.url)
    assert file.recorded is None
    file.fetch("dataset=x")
    assert file.recorded == SHA
    file.place.write_bytes(b"another")
    with pytest.raises(ValueError, match="was its digest when it was first downloaded"):
        file.fetch("dataset=x")
    file.place.unlink()
    assert file.fetch("dataset=x").read_bytes() == TEXT


def test_a_file_put_there_by_hand_is_as_good(source):
    file = Published(source.url, sha256=SHA)
    file.place.parent.mkdir(parents=True)
    file.place.write_bytes(TEXT)
    assert file.fetch("dataset=x") == file.place
    assert source.asked == []


def test_no_network_is_one_message_with_the_manual_way(source, monkeypatch):
    source.habit = "gone"
    file = Published(source.url)
    with pytest.raises(ValueError, match=r"^dataset=x needs prompts.csv, which its source does not give \(HTTP 404\)"):
        file.fetch("dataset=x")
    nowhere = Published("http://127.0.0.1:1/prompts.csv")
    with pytest.raises(ValueError, match=r"not here and cannot be downloaded \(.*\): fetch http.* and put it at /"):
        nowhere.fetch("dataset=x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set: unset it, or fetch"):
        file.fetch("dataset=x")


def test_a_full_disk_is_said(source, monkeypatch):
    def full(url, part):
        raise OSError(errno.ENOSPC, "No space left on device", str(part))

    monkeypatch.setattr(published, "_downloaded", full)
    with pytest.raises(ValueError, match=r"cannot be written at .*No space left on device.*make room"):
        Published(source.url).fetch("dataset=x")


def test_a_file_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = Published("hf:datasets/owner/set@abc/data/test-00000.parquet", sha256=hashlib.sha256(b"x").hexdigest())
    assert file.name == "test-00000.parquet"
    assert file.address.endswith("/datasets/owner/set/resolve/abc/data/test-00000.parquet")
    asked = []

    def download(repo, name, revision, repo_type, local_files_only):
        asked.append((repo, name, revision, repo_type))
        path = tmp_path / "x.parquet"
        path.write_bytes(b"x")
        return str(path)

    monkeypatch.setattr(published, "hf_hub_download", download)
    assert file.fetch("dataset=x").read_bytes() == b"x"
    assert asked == [("owner/set", "data/test-00000.parquet", "abc", "dataset")]
    file.place.parent.mkdir(parents=True)
    file.place.write_bytes(b"x")
    assert file.fetch("dataset=x") == file.place


@pytest.mark.parametrize(
    "source", ["prompts.csv", "hf:owner/x", "ftp://x/y", "https://x", "hf:a/b/c@d/e", "https://x/y/"]
)
def test_a_source_that_is_none(source):
    with pytest.raises(ValueError, match=re.escape(f"source={source} must be")):
        Published(source)


def test_a_digest_that_is_none():
    with pytest.raises(ValueError, match="sha256=abc must be 64 hex digits"):
        Published("https://x/y", sha256="abc")


def test_the_cache_is_where_xdg_says(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Published("https://x.org/a/b.csv").place == Path(tmp_path, ".cache/zz/files/x.org/a/b.csv")
