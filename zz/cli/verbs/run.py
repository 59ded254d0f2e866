"""`zz run`: make what is missing, score it, compare it."""

from collections.abc import Sequence
from functools import partial

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.config import store_of
from zz.cli.finish import finish
from zz.cli.page import only_shown, show_and_write, study
from zz.cli.request import Request, put, request
from zz.cli.terminal.console import console, warn
from zz.cli.terminal.plan import show_plan
from zz.cli.terminal.progress import Bar, Progress
from zz.lab.cluster import Shard
from zz.lab.slots import SlotDone
from zz.lab.store import manifest
from zz.lab.video import check_videos, put_videos, without_video
from zz.scorers.needs import bring

SHOWN = 10  # failures named one by one


def run(configs: Sequence[DictConfig]) -> int:
    """Plan all configs as one, make, score and show; return the exit code."""
    out = console(needed=False)
    if nothing := only_shown(configs[0]):
        store = store_of(configs[0])
        study(configs[0], store, nothing)
        if store.writable():
            manifest.put(store, nothing)
        return show_and_write(out, store, nothing)
    asked = request(configs, partial(warn, out))
    check_videos(asked.plan.jobs)
    if asked.plan.images:
        asked.store.check_writable()
    show_plan(out, asked.plan)
    if asked.plan.images:  # hours of pictures end in no download that fails
        for metric in dict.fromkeys(metric for row in asked.metrics.values() for metric in row):
            bring(metric)
    asked.loggers.on_start(asked.plan, asked.manifest, asked.configs, asked.store)
    put(asked)
    shard, made, doubled = Shard.here(), 0, 0
    try:
        with Progress(out, asked.plan, asked.manifest, shard) as progress:

            def on_slot(done: SlotDone) -> None:
                nonlocal made, doubled
                made, doubled = made + len(done.names), doubled + len(done.doubled)
                progress.slot(done)
                asked.loggers.on_slot(done)

            missing = asked.runner.run(
                asked.plan.jobs, asked.store, on_slot, progress.message, asked.measurements, asked.configs
            )
        if doubled:
            out.print(f"{doubled:,} of the images were made by another run meanwhile, too; one of each is kept")
        code = _report_failures(out, asked)
        if shard.rank:
            code = max(code, finish(out, asked, 0))
            out.print(f"{shard} is done; the first one shows the tables")
            return code
        code = max(code, finish(out, asked, missing))
        _make_videos(out, asked)
        return code
    finally:
        asked.loggers.on_end(made, asked.plan.images - made)


def _make_videos(out: Console, asked: Request) -> None:
    """Of the clips that are there, the videos that are not."""
    todo = without_video(asked.plan.jobs, asked.store)
    with Bar(out, len(todo), "videos") as bar:
        put_videos(todo, asked.store, bar.add)
    for folder in dict.fromkeys(asked.store.folder(job.cell) / "videos" for job, _ in todo):
        out.print(f"videos: {escape(str(folder))}", soft_wrap=True)


def _report_failures(out: Console, asked: Request) -> int:
    """Name the pictures that could not be made; return the exit code."""
    failures = []
    for job in asked.plan.jobs:
        named = set(job.names())
        failures += [
            f"{job.cell.key}, {name} {failed['prompt']!r}: {failed['error']}"
            for name, failed in asked.store.failures(job.cell).items()
            if name in named
        ]
    for failure in failures[:SHOWN]:
        out.print(f"[red]failed:[/] {escape(failure)}", soft_wrap=True)
    if len(failures) > SHOWN:
        where = f"{escape(str(asked.store.root))}/cells/*/failed"
        out.print(f"[red]and {len(failures) - SHOWN} more[/]; all are under {where}")
    return 1 if failures else 0
