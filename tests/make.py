"""What tests make of the lab: recipes, jobs and prompt lists of the exact model, and runs of them."""

import hashlib
from dataclasses import fields, replace

import numpy as np

from zz.data.base import Prompt, PromptList
from zz.data.shapes_prompts import parse
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.solvers.ddim import DDIM
from zz.lab.cell import row_id, titles
from zz.lab.job import Job, Recipe
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity, score_name
from zz.lab.scoring.scoring import score, unscored
from zz.lab.store.manifest import Manifest, Row, merged, put
from zz.models.mixture import Mixture

TEXTS = ("a red circle", "a blue star", "a green square")
RECIPE = {f.name for f in fields(Recipe)}


def recipe(**more):
    """An unresolved recipe of the exact model at T = 10."""
    usual = {
        "sampler": Zigzag(2.0, 0.0),
        "solver": DDIM(),
        "steps": 10,
        "model": Mixture(),
        "guidance": CFG(),
        "schedule": ModelSchedule(),
        "size": (32, 32),
    }
    return Recipe(**(usual | more))


def job(prompts=TEXTS, seed=0, limit=None, name="inline", repeats=1, **more):
    """A job; `prompts` are texts, or a prompt list."""
    if not isinstance(prompts, PromptList):
        listed = PromptList.of(prompts, seed, name)
        prompts = PromptList(name, listed.entries, repeats)
    return Job.of(recipe(**more), prompts, limit)


def said(texts):
    """Texts as prompts, with the shapes world's record of each that its grammar knows."""
    found = []
    for text in texts:
        try:
            found.append(Prompt(text, parse(text)))
        except ValueError:
            found.append(Prompt(text))
    return found


PROMPTS = tuple(f"a {c} {s}" for c in ("red", "blue") for s in ("circle", "star", "square", "triangle")) * 3


def many(**more):
    """A job of 24 prompts at T = 4."""
    return job(**({"prompts": PROMPTS, "steps": 4} | more))


def run(store, *jobs, said=None, measured=None, **fields):
    """Make what is missing on the CPU: how many pictures still are, and the slots that were made."""
    done = []
    hear = (lambda text: None) if said is None else said.append
    runner = Runner(**({"devices": "cpu", "threads": 1} | fields))
    return runner.run(jobs, store, done.append, hear, measured), done


def files(store, cell):
    """A cell's pictures: name -> digest of the file."""
    paths = {name: store.image_path(cell, name) for name in sorted(store.names(cell))}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def grey_levels(store, other, cell, theirs):
    """The largest difference between the pictures of one name of two cells."""
    names = sorted(store.names(cell))
    pairs = [[np.asarray(s.image(c, n), np.int16) for s, c in ((store, cell), (other, theirs))] for n in names]
    return max(int(np.abs(a - b).max()) for a, b in pairs)


def scored(store, *jobs, scorers, say=lambda text: None, tell=lambda done: None, **fields):
    """Score what is there by these metrics."""
    runner = Runner(**({"devices": "cpu", "threads": 1} | fields))
    return score(unscored(jobs, {one.id: scorers for one in jobs}, store), store, runner, tell, say)


def kept(store, *asked, scorers=(), control_of=None, name="run"):
    """Jobs written down as a run of the commands does it: cells, prompt lists and the manifest.

    control_of: by row, (the row that it is a control of, its role there)
    """
    from zz.cli.request import about_metric

    rows, title = [], titles([one.cell for one in asked])
    for one in asked:
        cost = one.recipe.cost._asdict()
        store.begin(one.cell, {"model": one.model.name, **cost})
        entries = [{"text": p.text, "seed": p.seed, "meta": dict(p.meta)} for p in one.prompts.entries]
        store.put_prompts(one.prompts.record_digest, entries)
        controls = tuple(pair for pair in [(control_of or {}).get(one.id)] if pair)
        row = Row(one.id, one.cell.key, one.prompts.record_digest, one.prompts.name, title[one.cell.key], "asked")
        row = replace(row, role=controls[0][1] if controls else "asked", controls=controls, **cost)
        about = {metric.name: about_metric(metric) for metric in scorers}
        row = replace(row, wanted=one.wanted // one.prompts.repeats, repeats=one.prompts.repeats, scorers=about)
        rows.append(row)
    found = Manifest(name, merged(rows))
    put(store, found)
    return found


def drawn(store, prompts, jobs, picture, value, scorers=(), name="run", **about):
    """Rows of the jobs' cells over any prompts, made by no model; written down as a run's manifest.

    jobs:    role -> job; the first is asked for, the others are its controls
    picture: of an entry's number and a row's number, or None
    value:   of an entry's number, a row's number and a scorer, or None
    about:   further fields of the manifest
    """
    from zz.cli.request import about_metric

    title, rows = titles([one.cell for one in jobs.values()]), []
    store.put_prompts(
        prompts.record_digest, [{"text": p.text, "seed": p.seed, "meta": dict(p.meta)} for p in prompts.entries]
    )
    for k, (role, one) in enumerate(jobs.items()):
        cost = one.recipe.cost._asdict()
        store.begin(one.cell, {"model": one.model.name, **cost})
        for p in prompts.pictures():
            if (image := picture(p.entry, k)) is not None:
                store.put_image(one.cell, p.name, image, p.prompt.text, p.seed)
        for scorer in scorers:
            found = {score_name(scorer, p): value(p.entry, k, scorer) for p in prompts.pictures()}
            given = {name: x for name, x in found.items() if x is not None}
            store.put_scores(one.cell, identity(scorer), {}, given)
        controls = ((rows[0].id, role),) if rows else ()
        metrics = {scorer.name: about_metric(scorer) for scorer in scorers}
        row = Row(row_id(one.cell.key, prompts.digest), one.cell.key, prompts.record_digest, prompts.name, "", role)
        row = replace(row, title=title[row.cell], controls=controls, scorers=metrics, **cost)
        rows.append(replace(row, wanted=len(prompts.entries), repeats=prompts.repeats))
    found = Manifest(name, merged(rows), **about)
    put(store, found)
    return found
