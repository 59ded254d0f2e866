"""python -m zz.run: make what is missing, score it, compare it."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from zz.cli import terminal
from zz.cli.config import Refusal, build, command
from zz.lab.hooks import SlotDone
from zz.lab.planner import Job, merged, plan
from zz.lab.results import cell_rows, columns, comparison_rows
from zz.lab.scoring import score, unscored
from zz.lab.sheet import contact_sheet
from zz.lab.store import Store
from zz.sampling import pair


def run(configs: Sequence[DictConfig]) -> int:
    """Plan all configs as one, make, score and show; return the exit code."""
    out = terminal.console()
    first = configs[0]
    for name in ("store", "logger", "runner.devices", "runner.batch_size", "runner.threads"):
        if any(OmegaConf.select(c, name) != OmegaConf.select(first, name) for c in configs):
            raise Refusal(f"{name} holds for a whole sweep and cannot be swept over")
    store, runner, hooks = Store(str(first.store)), build(first.runner), build(first.logger)
    jobs = [job_of(config) for config in configs]
    asked = list(jobs)
    for config, job in zip(configs, jobs, strict=True):
        asked += job.controls().values() if config.controls else []
    store.check_writable()
    planned = plan(asked, len(jobs), store)
    terminal.show_plan(out, planned)
    hooks.on_start(planned)
    missing = planned.images
    try:
        if planned.images:
            with terminal.Bar(out, planned.images, "images") as bar:

                def tell(done: SlotDone) -> None:
                    bar.slot(done)
                    hooks.on_slot(done)

                missing = runner.run(planned.jobs, store, tell, lambda text: out.print(f"[yellow]{text}[/]"))
        todo = unscored(planned.jobs, store)
        with terminal.Bar(out, sum(len(i) for work in todo.values() for _, i in work), "scores") as bar:
            scored = score(todo, store, "cpu", bar.add)
    finally:
        hooks.on_end(planned.images - missing, missing)
    for problem in scored.unreadable:
        out.print(f"[red]{problem}[/]", soft_wrap=True)
    terminal.show_cells(out, cell_rows(planned.jobs, store))
    terminal.show_comparisons(out, comparison_rows(merged(jobs), store))
    if not scored.unreadable and (sheet := contact_sheet(columns(merged(jobs), store), store)):
        out.print(f"contact sheet: {sheet}", soft_wrap=True)
    if missing:
        out.print(f"[red]{missing} images are missing;[/] run the same command again to make them")
    return 1 if missing or scored.unreadable else 0


def job_of(config: DictConfig) -> Job:
    """One config as a job. Raises ValueError or Refusal with the field, the value and the remedy."""
    for name in ("seed", "limit"):
        value = config[name]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < (name == "limit")):
            raise Refusal(f"{name}={value} must be a whole number of at least {int(name == 'limit')}")
    if config.dataset is None:
        raise Refusal(f"model={config.model.name} names no dataset of its own; choose one with dataset=")
    dataset = build(config.dataset)
    size = OmegaConf.to_object(config.size) if OmegaConf.is_config(config.size) else config.size
    texts = tuple(prompt.text for prompt in dataset.prompts)
    return Job.of(
        sampler=build(config.sampler),
        solver=build(config.solver),
        steps=config.steps,
        model=build(config.model),
        guidance=build(config.guidance),
        spacing=build(config.schedule),
        size=pair(size),
        seed=config.seed,
        negative_prompt=config.negative_prompt,
        precision=build(config.runner).precision,
        dataset=dataset.name,
        digest=dataset.digest,
        prompts=texts,
        wanted=len(texts) if config.limit is None else min(config.limit, len(texts)),
        scorers=tuple(build(config.get("scorers") or {}).values()),
    )


def main() -> int:
    """The command."""
    return command(run, "config")


if __name__ == "__main__":
    sys.exit(main())
