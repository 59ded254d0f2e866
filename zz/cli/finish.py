"""What follows when pictures are there: scores, set metrics, tables, the contact sheet."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from zz.cli.page import has_view, show_and_write
from zz.cli.request import Request, with_known_controls
from zz.cli.terminal.console import warn
from zz.cli.terminal.progress import Bar
from zz.cli.terminal.tables import show_cells, show_comparisons, show_verdicts
from zz.lab.cell import titles
from zz.lab.cluster import Shard
from zz.lab.job import Job
from zz.lab.plan import merged
from zz.lab.results import Results
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity, score_names
from zz.lab.scoring.scoring import Scorable, SlotScored, score, unscored
from zz.lab.scoring.sets import measure
from zz.lab.sheet import contact_sheet
from zz.lab.store.manifest import put
from zz.lab.store.store import Store, StoreError
from zz.scorers.base import ImageScorer, Metric, SetMetric


def finish(out: Console, asked: Request, missing: int) -> int:
    """Score what has no score yet, show the tables and the contact sheet; return the exit code."""
    store, jobs = asked.store, asked.plan.jobs
    titles = {row.id: row.title for row in asked.manifest.rows}
    problems, unreadable = add_scores(out, store, asked.runner, jobs, asked.metrics, titles, asked.loggers.on_scored)
    writable = store.writable()
    code = 1 if missing or problems else 0
    if Shard.here().rank:
        return code
    results = Results(store, asked.manifest)
    results.manifest = with_known_controls(asked, results)
    if writable:
        put(store, results.manifest)
    partial = False
    made = {job.id for job in jobs}
    for row in (row for row in asked.manifest.rows if row.id in made):
        there, wanted = results.there(row), row.wanted * row.repeats
        if there < wanted:
            partial = True
            fate = "" if asked.allow_partial else ": not printed unless allow_partial=true"
            out.print(f"[yellow]{escape(row.title)}: {there} of {wanted} images{fate}[/]", soft_wrap=True)
    if asked.allow_partial or not partial:
        if has_view(results.manifest):
            show_and_write(out, store, results.manifest)
        else:
            show_cells(out, results)
            show_comparisons(out, results, asked.allow_partial)
        asked.loggers.on_results(results)
        if writable and not unreadable:
            code = max(code, _contact_sheet(out, asked))
        if not has_view(results.manifest):
            show_verdicts(out, results)
    if missing:
        what = "1 image is" if missing == 1 else f"{missing:,} images are"
        out.print(f"[red]{what} missing;[/] run the same command again to make them")
    return code


def _contact_sheet(out: Console, asked: Request) -> int:
    """Write it where there are pictures for it; return the exit code."""
    try:
        sheet = contact_sheet(_columns(asked), asked.store, verdicts=_verdicts(asked))
    except StoreError as error:  # a picture that cannot be read takes no table with it
        out.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        return 1
    if sheet:
        out.print(f"contact sheet: {escape(str(sheet))}", soft_wrap=True)
        asked.loggers.on_sheet(sheet)
    return 0


def add_scores(
    out: Console,
    store: Store,
    runner: Runner,
    jobs: Sequence[Scorable],
    metrics: Mapping[str, Sequence[Metric]],
    titles: Mapping[str, str],
    on_scored: Callable[[SlotScored], None] = lambda done: None,
) -> tuple[list[str], bool]:
    """Score what has no score yet, and compute set metrics; what went wrong, and whether a picture cannot be read.

    metrics, titles: by row
    """
    slots = unscored(jobs, metrics, store)
    if slots:
        store.check_writable()
    writable = store.writable()
    if not writable:
        warn(out, f"{store.root} can only be read: its tables are shown, and nothing is noted there")
    with Bar(out, sum(len(slot.pictures) for slot in slots), "scores") as bar:

        def tell(done: SlotScored) -> None:
            bar.add(done.scored)
            on_scored(done)

        scored = score(slots, store, runner, tell, lambda text: warn(out, text))
    problems = [*scored.unreadable, *(f"scorer {name}: {why}" for name, why in scored.crashed.items())]
    if writable and not Shard.here().rank:
        problems += _set_metrics(store, runner, jobs, metrics, titles)
    for problem in problems:
        out.print(f"[red]{escape(problem)}[/]", soft_wrap=True)
    return problems, bool(scored.unreadable)


def _set_metrics(
    store: Store,
    runner: Runner,
    jobs: Sequence[Scorable],
    metrics: Mapping[str, Sequence[Metric]],
    titles: Mapping[str, str],
) -> list[str]:
    """Compute set metrics from the features that are there; they are kept in the store. What went wrong, if anything.

    One that breaks down takes no other with it.
    """
    device, problems = runner.device_list()[0], dict[str, None]()
    for job in jobs:
        for metric in metrics.get(job.id, ()):
            if isinstance(metric, SetMetric):
                try:
                    measure(metric, job, store, device)
                except StoreError:
                    raise
                except Exception as error:
                    said = f"{type(error).__name__}: {error}".split("\n")[0]
                    problems[f"scorer {metric.name}, {titles[job.id]}: {said}"] = None
    return list(problems)


def _columns(asked: Request) -> list[tuple[str, Job]]:
    """What a contact sheet shows side by side, as far as it is there: each row's standard sampling before the row."""
    shown: dict[str, Job] = {}
    for job in merged(asked.jobs):
        for one in (job.controls(("standard",)).get("standard"), job):
            if one is not None:
                shown.setdefault(one.id, one)
    here = titles([job.cell for job in shown.values()])  # beside these columns, not all rows of the run
    one_cell = Counter(job.cell.key for job in shown.values())
    said = {row.id: row.title for row in asked.manifest.rows}
    return [
        (here[job.cell.key] if one_cell[job.cell.key] == 1 else said.get(job.id) or job.cell.title, job)
        for job in shown.values()
    ]


def _verdicts(asked: Request) -> dict[str, Mapping[str, bool]]:
    """By row and picture, whether it is right: of the first score that says only right or wrong."""
    found: dict[str, Mapping[str, bool]] = {}
    for job in asked.plan.jobs:
        for metric in asked.metrics.get(job.id, ()):
            if isinstance(metric, ImageScorer) and metric.unit == "correct":
                found[job.id] = _right(asked.store, job, metric)
                break
    return found


def _right(store: Store, job: Job, scorer: ImageScorer) -> dict[str, bool]:
    scores = store.scores(job.cell, identity(scorer))
    named = zip(job.names(), score_names(scorer.reads, job.prompts, job.limit), strict=True)
    return {name: scores[key] > 0.5 for name, key in named if key in scores}
