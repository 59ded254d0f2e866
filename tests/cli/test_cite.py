"""`zz.cite`: the references of what a store used; everything that can be used has some, or is known to need none."""

import re
from pathlib import Path

import pytest

import zz
import zz.cite
import zz.cli.main
from tests.make import job, kept
from zz.cli.conf import options
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.cite import OWN, cited, references, used
from zz.lab.store import manifest
from zz.lab.store.store import Store
from zz.scorers.mixture.log_odds import LogOdds

FILE = Path(zz.__file__).with_name("references.bib")
KNOWN = references([FILE])
GROUPS = {"model": "model", "dataset": "dataset", "scorers": "scorer", "measurements": "measurement"}
OPTIONS = {f"{word}:{option}" for group, word in GROUPS.items() for option in options(group)}
CLASSES = {
    name
    for room in ("samplers", "solvers", "guidance", "schedules")
    for path in FILE.parent.glob(f"diffusion/{room}/**/[!.]*.py")
    for name in re.findall(r"^class ([A-Z]\w*)\(", path.read_text(encoding="utf-8"), re.M)
}
BASES = {"Sampler", "Reflecting", "Walk", "Solver", "Past", "Guidance", "Needs", "Schedule", "ScaledCond", "Apart"}
BASES |= {"ExtraTerm", "WeakTerm", "Perturbed", "Attention", "Tapped", "Inside", "OfWeak", "Around"}


def test_entries_are_whole_and_name_what_there_is():
    assert len(KNOWN) > 50 and len({one.key for one in KNOWN}) == len(KNOWN)
    for one in KNOWN:
        assert one.of and "usedby" not in one.text, one.key
        assert one.text.count("{") == one.text.count("}"), one.key
        fields = re.findall(r"^  (\w+) = \{", one.text, re.M)
        assert {"title", "author", "year"} <= set(fields) and len(fields) == len(set(fields)), one.key
        for word in one.of:
            plain = word in ("pretrained", "lora", "npnet", "rescale")
            known = word in OPTIONS if ":" in word else hasattr(zz, word) or plain
            assert known, (one.key, word)


@pytest.mark.parametrize("word", sorted(OPTIONS | (CLASSES - BASES)))
def test_what_can_be_used_has_a_reference_or_needs_none(word):
    named = any(word in one.of for one in KNOWN) or word in OWN
    if word.startswith("model:"):  # or the class that opens it has
        named |= bool(re.search(r"(flux|sdxl|sd3|hunyuan|animatediff|dreamshaper|qwen_image|z_image|sana|wan)", word))
    assert named


def test_a_store_is_cited_for_what_its_rows_used(store_path, cli, tmp_path):
    store, scorer = Store(store_path), LogOdds()
    jobs = [job(sampler=Zigzag(2.0, 0.0), guidance=GuidanceInterval(CFG(rescale=0.5), 0.1, 1.0))]
    for one in jobs:
        store.begin(one.cell, {"model": "mixture"})
    found = kept(store, *jobs, scorers=(scorer,))
    manifest.put(store, found)
    words = used(store, found.rows)
    assert {"Zigzag", "DDIM", "GuidanceInterval", "CFG", "rescale", "scorer:log_odds", "dataset:inline"} <= set(words)
    keys = [one.key for one in cited(KNOWN, words)[0]]
    assert {"bai2025zigzag", "song2021ddim", "ho2022cfg", "kynkaanniemi2024interval", "lin2024flawed"} == set(keys)
    code, out, err = cli(f"store={store_path}", command=zz.cite)
    assert code == 0 and re.findall(r"^@\w+\{(\w+),", out, re.M) == keys, err
    assert cited(KNOWN, {"scorer:mine": None}) == ([], ["scorer:mine"])
    path = tmp_path / "deep" / "it.bib"
    code, out, _ = cli(f"store={store_path}", f"out={path}", command=zz.cite)
    assert code == 0 and "5 references" in out and path.read_text().count("@") == 5


def test_what_cannot_be_is_one_message(store_path, cli):
    code, _, err = cli(f"store={store_path}", command=zz.cite)
    assert code == 2 and err.startswith("error: ") and len(err.splitlines()) == 1
    assert "cite" in zz.cli.main.commands() and "scoring" not in zz.cli.main.commands()


def test_a_key_that_comes_twice_is_refused(tmp_path):
    (tmp_path / "references.bib").write_text("@misc{bai2025zigzag,\n  title = {x}\n}\n")
    with pytest.raises(ValueError, match="a second entry bai2025zigzag"):
        references([FILE, tmp_path / "references.bib"])
