"""python -m zz.run: make what is missing, score it, compare it."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape

from zz.cli import terminal
from zz.cli.config import Refusal, build, command, resolved, store_of
from zz.diffusion.fields import check_count
from zz.diffusion.samplers.budget import fit
from zz.diffusion.trajectory import Leg
from zz.lab.clips import check_videos, put_videos, without_video
from zz.lab.cluster import Share
from zz.lab.hooks import Hooks, SlotDone
from zz.lab.planner import Job, Plan, merged, plan
from zz.lab.results import cell_rows, columns, comparison_rows
from zz.lab.runner import Runner, Terminated
from zz.lab.scoring import score, unscored
from zz.lab.sheet import contact_sheet
from zz.lab.store import Store
from zz.models.base import Model
from zz.models.networks import Network, Networks
from zz.sampling import pair

SHOWN = 10  # failures named one by one


class Request(NamedTuple):
    """What a person asked for, as objects."""

    store: Store
    runner: Runner
    hooks: Hooks
    jobs: list[Job]  # one a config, controls left out
    plan: Plan  # distinct, controls among them
    allow_partial: bool  # whether tables may stand on fewer pictures than were asked for


def run(configs: Sequence[DictConfig]) -> int:
    """Plan all configs as one, make, score and show; return the exit code."""
    out = terminal.console()
    asked = request(configs)
    check_videos(asked.plan.jobs)
    asked.store.check_writable()
    terminal.show_plan(out, asked.plan)
    asked.hooks.on_start(asked.plan)
    part, missing, made = Share.here(), asked.plan.images, 0
    try:
        if missing:
            with terminal.Progress(out, asked.plan, part) as progress:

                def tell(done: SlotDone) -> None:
                    nonlocal made
                    made += len(done.indices)
                    progress.slot(done)
                    asked.hooks.on_slot(done)

                missing = asked.runner.run(asked.plan.jobs, asked.store, tell, progress.say)
        if part.rank:
            out.print(f"share {part.rank + 1} of {part.world} is done; the first one scores and shows the tables")
            return _report_failures(out, asked)
        code = max(_report_failures(out, asked), finish(out, asked, missing))
        _make_videos(out, asked)
        return code
    except Terminated:
        out.print("terminated; what is made is kept, the same command goes on from there")
        return 143
    finally:
        asked.hooks.on_end(made, asked.plan.images - made)


def request(configs: Sequence[DictConfig]) -> Request:
    """Configs as objects, planned together. Raises Refusal or ValueError with the field, the value and the remedy."""
    plain = [resolved(config) for config in configs]
    first = plain[0]
    for config in plain:
        for name in ("store", "logger", "allow_partial"):
            _one_for_all(name, config[name], first[name])
        for name in ("devices", "batch_size", "threads", "share"):
            _one_for_all(f"runner.{name}", config["runner"][name], first["runner"][name])
    jobs = [_job(config) for config in plain]
    asked = list(jobs)
    for config, job in zip(plain, jobs, strict=True):
        if not isinstance(config["controls"], bool):
            raise Refusal(f"controls={config['controls']} must be true or false")
        asked += job.controls().values() if config["controls"] else []
    if not isinstance(first["allow_partial"], bool):
        raise Refusal(f"allow_partial={first['allow_partial']} must be true or false")
    store, runner = store_of(configs[0]), build(first["runner"])
    planned = plan(asked, len(jobs), store, runner.share)
    return Request(store, runner, build(first["logger"]), jobs, planned, first["allow_partial"])


def finish(out: Console, asked: Request, missing: int) -> int:
    """Score what has no score yet, show the tables and the contact sheet; return the exit code."""
    store, jobs = asked.store, merged(asked.jobs)
    todo = unscored(asked.plan.jobs, store)
    with terminal.Bar(out, sum(len(i) for work in todo.values() for _, i in work), "scores") as bar:
        scored = score(todo, store, asked.runner.places()[0], bar.add)
    for problem in (*scored.unreadable, *(f"scorer {name}: {why}" for name, why in scored.crashed.items())):
        out.print(f"[red]{escape(problem)}[/]", soft_wrap=True)
    rows = cell_rows(asked.plan.jobs, store)
    partial = [row for row in rows if row.images < row.job.wanted]
    for row in partial:
        fate = "" if asked.allow_partial else ": not printed unless allow_partial=true"
        out.print(f"[yellow]{escape(row.title)}: {row.images} of {row.job.wanted} images{fate}[/]", soft_wrap=True)
    if asked.allow_partial or not partial:
        terminal.show_cells(out, rows)
        terminal.show_comparisons(out, comparison_rows(jobs, store, asked.allow_partial))
        if not scored.unreadable and (sheet := contact_sheet(columns(jobs, store), store)):
            out.print(f"contact sheet: {escape(str(sheet))}", soft_wrap=True)
    if missing:
        what = "1 image is" if missing == 1 else f"{missing:,} images are"
        out.print(f"[red]{what} missing;[/] run the same command again to make them")
    return 1 if missing or scored.unreadable or scored.crashed else 0


def _make_videos(out: Console, asked: Request) -> None:
    """Of the clips that are there, the videos that are not."""
    todo = without_video(asked.plan.jobs, asked.store)
    with terminal.Bar(out, len(todo), "videos") as bar:
        put_videos(todo, asked.store, bar.add)
    for folder in dict.fromkeys(asked.store.folder(job.cell) / "videos" for job, _ in todo):
        out.print(f"videos: {escape(str(folder))}", soft_wrap=True)


def _report_failures(out: Console, asked: Request) -> int:
    """Name the prompts of which no picture came; return the exit code."""
    failures = [
        f"{job.cell.key}, prompt {i} {failed['prompt']!r}: {failed['error']}"
        for job in asked.plan.jobs
        for i, failed in asked.store.failures(job.cell).items()
        if i < job.wanted
    ]
    for failure in failures[:SHOWN]:
        out.print(f"[red]failed:[/] {escape(failure)}", soft_wrap=True)
    if len(failures) > SHOWN:
        out.print(
            f"[red]and {len(failures) - SHOWN} more[/]; all are under {escape(str(asked.store.root))}/cells/*/failed"
        )
    return 1 if failures else 0


def _one_for_all(name: str, value: Any, first: Any) -> None:
    if value != first:
        raise Refusal(f"{name} holds for a whole sweep and cannot be swept over")


def size_of(config: DictConfig) -> tuple[int, int]:
    """(height, width) that a config asks for."""
    return pair(OmegaConf.to_object(config.size) if OmegaConf.is_config(config.size) else config.size)


def _job(config: Mapping[str, Any]) -> Job:
    check_count("seed", config["seed"])
    if config["limit"] is not None:
        check_count("limit", config["limit"], 1)
    negative = config["negative_prompt"]
    if not isinstance(negative, str | None):
        raise Refusal(f"negative_prompt={negative} must be text; quote it: negative_prompt='\"{negative}\"'")
    if config.get("dataset") is None:
        raise Refusal(f"model={config['model']['name']} names no dataset of its own; choose one with dataset=")
    dataset = build(config["dataset"])
    texts = tuple(prompt.text for prompt in dataset.prompts)
    if config["seed"] + len(texts) >= 2**63:
        raise Refusal(f"seed={config['seed']} is too large: seed + prompt number must stay below 2^63")
    steps, sampler = config["steps"], build(config["sampler"])
    if config["budget"]["nfe"] is not None:
        steps, sampler = fit(sampler, config["budget"]["nfe"], config["budget"]["rule"])
    return Job(
        sampler=sampler,
        solver=build(config["solver"]),
        steps=steps,
        model=_model(config),
        guidance=build(config["guidance"]),
        spacing=build(config["schedule"]),
        size=pair(config["size"]),
        seed=config["seed"],
        negative_prompt=negative,
        precision=build(config["runner"]).precision,
        dataset=dataset.name,
        digest=dataset.digest,
        prompts=texts,
        wanted=len(texts) if config["limit"] is None else min(config["limit"], len(texts)),
        scorers=tuple(build(config.get("scorers") or {}).values()),
        config=config,
    ).resolved()


def _model(config: Mapping[str, Any]) -> Model:
    """The model, with the other networks of a reflection where any are asked for."""

    def side(given: Mapping[str, Any]) -> Network:
        other = build(OmegaConf.merge(config["model"], given["model"])) if given["model"] else None
        return Network(other, given["prompt"], given["negative_prompt"])

    return Networks(build(config["model"]), side(config["strong"]), side(config["weak"])).asked(tuple(Leg))


def main() -> int:
    """The command."""
    return command(run, "config")


if __name__ == "__main__":
    sys.exit(main())
