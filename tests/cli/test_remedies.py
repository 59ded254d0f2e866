"""What a message recommends is typed as it is said, and does it."""

import re
import shlex
import sys

import pytest

import zz.run
from tests.parity import tiny
from zz.cli.request import request
from zz.cli.verbs import run as verb

EXACT = ("model=mixture", "steps=4", "limit=1", "scorers=[]", "size=16")
TINY = ("model=sd", "model.pretrained=tiny", "dataset=inline", "dataset.texts=a", *EXACT[1:-1], "size=16", "gamma1=2")
SHAPES = ("model=shapes", "steps=2", "limit=1", "scorers=[]", "sampler=standard", "dataset=quick")


@pytest.fixture
def planned(monkeypatch, capfd, store_path, tmp_path):
    """What a run is asked, all but making it; returns the exit code, the output and the errors."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ZZ_STORE", str(store_path))
    monkeypatch.chdir(tmp_path)

    def plan(*words):
        monkeypatch.setattr(sys, "argv", ["zz.run", *words])
        capfd.readouterr()
        code = zz.run.main()
        return code, *capfd.readouterr()

    monkeypatch.setattr(verb, "run", lambda configs: len(request(configs).jobs) == 0)
    return plan


# the words that are refused, the wrong one first; where the remedy stands in the message; the others' words
REMEDIES = [
    (["negative_prompt=left,red"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["dataset.texts=a red circle, left", "dataset=inline"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["dataset.texts=a red (circle), left", "dataset=inline"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["scorers=log_odds,cleanliness"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["controls=standard,guidance_matched"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["size=24,40"], r"add (-m); or, if it is one value, write (.*)$", EXACT),
    (["dataset.indices=0,7"], r"write (.*)$", EXACT),
    (["dataset.where.n=1,2", "dataset=table", "dataset.path=p.csv"], r"add (-m); or, .* write (.*)$", EXACT),
    (["gamma2=0,1"], r"add (-m)$", EXACT),
    (["sampler=standard,zigzag"], r"add (-m)$", EXACT),
    (["negative_prompt=left,"], r"is a text, write (.*)$", EXACT),
    (["negative_prompt=["], r"is a text, write (.*)$", EXACT),
    (['negative_prompt="left'], r"is a text, write (.*)$", EXACT),
    (["store=run(1)"], r"is a text, write (.*)$", EXACT),
    (["store=2025"], r"quote it: (.*)$", EXACT),
    (["name=1_000"], r"quote it: (.*)$", EXACT),
    (["negative_prompt=5"], r"quote it: (.*)$", TINY),
    (["negative_prompt=[left]"], r"quote it: (.*)$", EXACT),
    (["weak.prompt=5"], r"quote it: (.*)$", TINY),
    (["dataset.texts=[a red star,1_000]"], r"quote it, as (.*)$", TINY),
    (["dataset.path=1984", "dataset=text"], r"quote it: (.*)$", EXACT),
    (["dataset.path=p.csv", "dataset=text"], r"read it with (.*)$", EXACT),
    (["dataset.path=2024", "dataset=table"], r"quote it: (.*)$", (*EXACT, "dataset.delimiter=;")),
    (["dataset.path=p q.txt", "dataset=table"], r"read it with (.*)$", EXACT),
    (["dataset.column=prompts", "dataset=table", "dataset.path=p.csv"], r"choose one, as (.*)$", EXACT),
    (["dataset.column=x", "dataset=table", "dataset.path=q.csv"], r"choose one, as (.*)$", EXACT),
    (["dataset.where.n=7", "dataset=table", "dataset.path=q.csv", "dataset.column=a prompt"], r"as (.*)$", EXACT),
    (["dataset.seeds=n", "dataset=table", "dataset.path=r.csv"], r"say (.*)$", EXACT),
    (["jump=2", "sampler=repaint"], r"did you mean (.*)\?", EXACT),
    (["jump=2"], r"write (.*)$", EXACT),
    (["offset=1"], r"write (.*)$", EXACT),
    (["thread=2"], r"did you mean (.*)\?", EXACT),
    (["prediction=v"], r"did you mean (.*)\?", EXACT),
    (["gama2=1"], r"did you mean (.*)\?", EXACT),
    (["model.stdd=0.2"], r"did you mean (.*)\?", EXACT),
    (["sampler=zigzga"], r"did you mean (.*)\?", EXACT),
    (["schedule.times=[999,499,250,0]", "schedule=explicit"], r"use (.*)$", EXACT),
    (["steps=5", "schedule=explicit", "schedule.times=[999,499,250]"], r"set (.*)$", EXACT),
    (["guidance.rescale=0.5", "sampler=guidance_matched"], r"choose (.*)$", EXACT),
    (["guidance=cfgpp", "sampler=guidance_matched", "gamma1=0.6"], r"choose (.*)$", EXACT),
    (["gamma2=1", "guidance=cfgpp", "gamma1=0.5", "sampler=fixed_point"], r"choose (.*)$", EXACT),
    (["guidance=seg"], r"choose (guidance=cfg), (guidance=cfgpp), or", (*EXACT, "gamma1=1")),
    (["runner.precision=16"], r"choose (.*)$", EXACT),
    (["lambda=2", "budget.nfe=12", "budget.rule=paper"], r"choose (.*)$", EXACT),
    (["steps=1000"], r"or (schedule=.*)$", (*EXACT, "sampler=standard")),
    (["size=[33,32]"], r"choose (.*)$", SHAPES),
    (["model.variant=fp16"], r"choose (.*)$", SHAPES),
    (["model.prediction_type=v_prediction"], r"; (\S+) takes it at its word", SHAPES),
    (
        ["dataset.texts=[a photo of a star of a star]", "dataset=inline", "scorers=[shapes_correct]"],
        r"out: (.*)$",
        SHAPES,
    ),
]


CASES = [pytest.param(*each, marks=[pytest.mark.slow] if i % 8 else []) for i, each in enumerate(REMEDIES)]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "where", "others"), CASES, ids=lambda it: it[0] if isinstance(it, list) else "")
def test_a_remedy_that_is_recommended_works(planned, tmp_path, words, where, others):
    (tmp_path / "p.csv").write_text("prompt,n\na red star,1\na circle,2\n")
    (tmp_path / "q.csv").write_text('"a prompt",n\na red star,07\na circle,007\n')
    (tmp_path / "r.csv").write_text("prompt,n\na red star,x\n")
    (tmp_path / "2024").write_text("prompt\na red star\n")
    for name in ("p q.txt", "1984"):
        (tmp_path / name).write_text("a red star\n")
    if others == TINY:
        tiny.sd().save_pretrained(tmp_path / "tiny")
    keys = {key(word) for word in words}
    typed = [*(word for word in others if key(word) not in keys), *words]
    code, _, err = planned(*typed)
    assert code == 2 and err.startswith("error: ") and "Traceback" not in err, err
    found = re.search(where, err.strip())
    assert found, err
    remedies = [one for group in found.groups() for one in re.split(r",? or ", group)]
    for remedy in remedies:
        mended = shlex.split(remedy)
        if mended == ["-m"]:
            mended = [*typed, "-m"]
        else:
            if "=" not in remedy:  # another name, of the key or of its option
                left, _, value = words[0].partition("=")
                mended = [f"{left}={remedy}" if f"{words[0]} is not known" in err else f"{remedy}={value}"]
            gone = {key(word) for word in mended}
            if not gone & keys:  # it is not set anew: what stands beside it, or it is left out
                gone |= {key(words[0])} if "did you mean" in err or "write" in where or "out: " in where else set()
            mended = [*(word for word in typed if key(word) not in gone), *mended]
        code, out, err2 = planned(*mended)
        assert code == 0, (remedy, mended, out, err2)


def key(word):
    return word.partition("=")[0]
