"""`zz report`: one HTML page of a store: claims, tables, pairs of pictures. Makes no picture."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.experiment import find as find_experiment
from zz.cli.experiment import known
from zz.cli.remade import words_of, words_of_ledger
from zz.cli.terminal.console import console, warn
from zz.diffusion.validate import as_tuple, check_choice, check_count, check_text
from zz.lab.experiment import Experiment
from zz.lab.results import Results
from zz.lab.store.manifest import ROLES, Manifest, find, names
from zz.lab.store.store import Store, StoreError
from zz.lab.view import View


def report(configs: Sequence[DictConfig]) -> int:
    """Write the page; return the exit code."""
    out = console()
    for config in configs:
        _check(config)
        started, store = time.perf_counter(), store_of(config)
        manifests, problems = _manifests(store, as_tuple(config.name) if config.name is not None else ())
        for problem in problems:
            warn(out, problem)
        _write(out, config, store, manifests, problems)
        out.print(f"{time.perf_counter() - started:.1f} s")
    return 0


def _check(config: DictConfig) -> None:
    for name in ("out", "bundle"):
        check_text(name, config[name] if config[name] is None else str(config[name]))
    for name in as_tuple(config.name) if config.name is not None else ():
        check_text("name", name)
    check_choice("against", config.against, ROLES)
    check_count("pairs", config.pairs, 1)
    check_count("size", config.size, 1)
    if not config.out:
        raise Refusal(f"out={config.out} must be a file: out=report.html")
    if not isinstance(config.allow_partial, bool):
        raise Refusal(f"allow_partial={config.allow_partial} must be true or false")
    for name, wrong in (("out", Path(config.out).is_dir()), ("bundle", _in_the_way(config.bundle))):
        if wrong:
            raise Refusal(f"{name}={config[name]} is a {'folder' if name == 'out' else 'file'}; choose another")


def _in_the_way(folder: Any) -> bool:
    return folder is not None and Path(str(folder)).exists() and not Path(str(folder)).is_dir()


def _manifests(store: Store, asked: Sequence[str]) -> tuple[list[Manifest], list[str]]:
    """Those that are asked for, or all, the last written one first; and why others cannot be read."""
    store.check_format()
    if asked:
        return [find(store, name) for name in asked], []
    found, problems = [], []
    for name in names(store):
        try:
            found.append(find(store, name))
        except StoreError as error:
            problems.append(str(error))
    if not found:
        raise StoreError(problems[0] if problems else f"store: {store.root} holds no manifest; zz.run writes one")
    return found, problems


def _write(
    out: Console, config: DictConfig, store: Store, manifests: Sequence[Manifest], problems: Sequence[str]
) -> None:
    try:
        from zz.analysis.report.page import Limits, Part, page
    except ModuleNotFoundError as error:
        raise Refusal(f"zz.report needs {error.name}: pip install 'zz[analysis]'") from error
    made_by, parts, seen = _made(store, manifests), list[Part](), set[str]()
    for manifest in manifests:
        results = Results(store, manifest)
        experiment = _experiment(manifest)
        view, remark = _view(experiment, results)
        older = "an earlier request of this name" if manifest.name in seen else ""
        seen.add(manifest.name)
        parts.append(Part(results, view, tuple(filter(None, (older, remark))), _commands(manifest, made_by)))
    parts.sort(key=lambda part: part.view is None)
    made = page(store, parts, config.against, Limits(config.pairs, config.size * 1_000_000), problems)
    lacking = [about.row.title for chapter in made.chapters for about in chapter.facts if about.lacks]
    if lacking and not config.allow_partial:
        raise Refusal(f"{_rows(lacking)} pictures or scores: run the same words again, or say allow_partial=true")
    if lacking:
        warn(out, f"{_rows(lacking)} pictures or scores: the page names what is missing")
    for problem in made.problems[len(problems) :]:
        warn(out, problem)
    if left := sum(chapter.left_out for chapter in made.chapters):
        out.print(f"{left} prompts are left out of the pairs of pictures; pairs= and size= say how many it holds")
    _to(out, "out", config.out, lambda: made.write(Path(config.out)))
    if config.bundle is not None:
        folder, name = Path(str(config.bundle)), Path(config.out).name
        _to(out, "bundle", folder / name, lambda: made.bundle(folder, name))


def _rows(lacking: Sequence[str]) -> str:
    return "1 row lacks" if len(lacking) == 1 else f"{len(lacking)} rows lack"


def _to(out: Console, word: str, path: str | Path, write: Any) -> None:
    try:
        written = write()
    except OSError as error:
        raise Refusal(f"{word}={path} cannot be written ({error.strerror}); choose another") from error
    out.print(f"{escape(str(path))}: {written / 1e6:.1f} MB", soft_wrap=True)


def _experiment(manifest: Manifest) -> Experiment | None:
    name = manifest.experiment or manifest.name
    return find_experiment(name) if name in known() else None


def _view(experiment: Experiment | None, results: Results) -> tuple[View | None, str]:
    """What an experiment shows; or why it shows nothing, such as rows that lack."""
    if not experiment or not experiment.view:
        return None, experiment.claim if experiment else ""
    try:
        return experiment.view(results), ""
    except (StoreError, ValueError, LookupError) as error:
        return None, f"{experiment.claim}: its tables cannot be made of what is there ({error})"


class Made(NamedTuple):
    """How a row was made: the words of the run that made it last, or nearly those of its cell's ledger."""

    words: Sequence[str]
    recorded: bool


def _made(store: Store, manifests: Sequence[Manifest]) -> dict[str, Made]:
    """Of every row; a control has the words of the row that was asked for."""
    rows = {row.id: row for manifest in manifests for row in manifest.rows}
    cells = {row.cell: store.cell(row.cell) for row in rows.values()}
    records = {record.get("row"): record for cell, _ in cells.values() for record in store.runs(cell)}
    configs = {id: r["config"] for id in rows if (r := records.get(id)) and isinstance(r.get("config"), Mapping)}
    words = dict(zip(configs, words_of(list(configs.values())), strict=True))
    found = {}
    for id, row in rows.items():
        cell, record = cells[row.cell]
        nearly = Made(words_of_ledger(cell.ledger, str(record.get("model", ""))), False)
        limit = configs.get(id, {}).get("limit")
        more = [] if limit is None else [f"limit={limit}"]
        found[id] = Made([*words[id], *more], True) if words.get(id) else nearly
    return found


def _commands(manifest: Manifest, made: Mapping[str, Made]) -> dict[str, tuple[str, ...]]:
    """By row, the commands that make it: of its experiment, and of it alone."""
    whole, found = _of_experiment(manifest), {}
    for row in manifest.rows:
        words, recorded = made[row.id]
        more = [f"controls=[{row.role}]"] if recorded and row.role not in ("asked", "against") else []
        alone = [f"python -m zz.run {shlex.join([*words, *more])}"] if words and (recorded or not whole) else []
        found[row.id] = (*whole, *alone)
    return found


def _of_experiment(manifest: Manifest) -> tuple[str, ...]:
    name = manifest.experiment or manifest.name
    scale = f" scale={manifest.scale}" if manifest.scale else ""
    return (f"python -m zz.run experiment={name}{scale}",) if name in known() else ()


__all__ = ["report"]
