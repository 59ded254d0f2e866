"""From configs to a request: rows, their controls, what they are scored and measured by, planned as one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from zz.cli.conf import Refusal
from zz.cli.config import build, build_anew, metrics_of, nodes, resolved, store_of
from zz.cli.experiment import named
from zz.data.base import REPEAT, Prompt, PromptList, PromptSet
from zz.diffusion.budget import fit
from zz.diffusion.leg import Leg
from zz.diffusion.validate import check_count, check_text
from zz.lab.cell import titles
from zz.lab.job import CONTROLS, ROLES, Job, Recipe
from zz.lab.loggers.base import Logger, Loggers
from zz.lab.measurements.base import Measurement
from zz.lab.plan import Plan, plan
from zz.lab.plan import merged as merged_jobs
from zz.lab.results import Results
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.store import manifest
from zz.lab.store.manifest import Manifest, Row, merged
from zz.lab.store.store import Store
from zz.models.base import Model
from zz.models.networks import PerLeg, Side
from zz.sampling import pair
from zz.scorers.base import ImageScorer, Metric, SetMetric


class Request(NamedTuple):
    """What a person asked for, as objects. Mappings are by row."""

    store: Store
    runner: Runner
    loggers: Loggers
    jobs: list[Job]  # one a config that is to be made, controls left out
    plan: Plan  # distinct, controls among them
    listed: tuple[Job, ...]  # of the manifest: the plan's, and those that are not to be made
    manifest: Manifest
    metrics: Mapping[str, tuple[Metric, ...]]
    measurements: Mapping[str, tuple[Measurement, ...]]
    configs: Mapping[str, Mapping[str, Any]]  # resolved, that each row was asked for with
    allow_partial: bool  # whether tables may stand on fewer pictures than were asked for


def request(configs: Sequence[DictConfig], on_message: Callable[[str], None] = lambda text: None) -> Request:
    """Configs as objects, planned together. Raises Refusal or ValueError with the field, the value and the remedy.

    on_message: called with the message of a logger that fails
    """
    build_anew()  # a file of prompts may have grown since
    _listed.cache_clear()
    values = [resolved(config) for config in configs]
    first = values[0]
    for config in values:
        for name in ("store", "logger", "allow_partial", "experiment", "scale", "name"):
            _one_for_all(name, config.get(name), first.get(name))
        for name in ("budget", "strong", "weak"):
            _has_fields(name, config[name])
        for name in ("devices", "batch_size", "threads", "reuse", "verify"):
            _one_for_all(f"runner.{name}", config["runner"][name], first["runner"][name])
    if not isinstance(first["allow_partial"], bool):
        raise Refusal(f"allow_partial={first['allow_partial']} must be true or false")
    jobs = [_job(config) for config in values]
    made = [job for job, config in zip(jobs, values, strict=True) if to_be_made(config)]
    every, listed = list(made), list(jobs)
    asked: list[tuple[Job, str, tuple[tuple[str, str], ...], Mapping[str, Any]]] = []
    asked += [(job, "asked", (), config) for job, config in zip(jobs, values, strict=True)]
    for job, config in zip(jobs, values, strict=True):
        for role, control in job.controls(roles(config["controls"])).items():
            if control.id == job.id:  # standard sampling is its own e_cfg
                continue
            listed.append(control)
            if config["made"]:
                every.append(control)
            asked.append((control, role, ((job.id, role),), config))
    store, runner = store_of(configs[0]), build(first["runner"])
    store.check_format()
    for job in jobs:
        runner.planned_batch_size(job)  # refuses before anything is made
    planned = plan(every, len(made), store, runner.reuse, runner.verify)
    distinct = tuple(merged_jobs(listed))
    title = titles([job.cell for job in distinct])
    several = len({job.prompts.name for job in distinct}) > 1 or len({j.cell.key for j in distinct}) < len(distinct)
    rows, metrics = list[Row](), dict[str, tuple[Metric, ...]]()
    measurements, by_row = dict[str, tuple[Measurement, ...]](), dict[str, Mapping[str, Any]]()
    for job, role, control_of, asked_with in asked:
        found = tuple(metrics_of(asked_with).values())
        metrics[job.id] = tuple(dict.fromkeys((*metrics.get(job.id, ()), *found)))
        probes = _measurements(asked_with) if role == "asked" else ()
        measurements[job.id] = tuple(dict.fromkeys((*measurements.get(job.id, ()), *probes)))
        if job.recipe.scale:  # its source is measured first
            source, needed = control_of[0][0], job.recipe.scale.measurement
            measurements[source] = tuple(dict.fromkeys((*measurements.get(source, ()), needed)))
        by_row.setdefault(job.id, asked_with)
        shown = title[job.cell.key] + (f" [{_shown(job)}]" if several else "")
        rows.append(replace(_row(job, role, control_of, found, shown), labels=_labels(asked_with, role)))
    _check_measurements(distinct, measurements)
    found_rows = Manifest(_name(first), merged(rows), _layout(first), first["experiment"], first["scale"])
    loggers = Loggers(_loggers(first), on_message)
    partial: bool = first["allow_partial"]
    return Request(store, runner, loggers, made, planned, distinct, found_rows, metrics, measurements, by_row, partial)


def roles(asked: Any) -> tuple[str, ...]:
    """The controls that `controls=` names: true is all that are made of a row's own fields."""
    if isinstance(asked, bool):
        return CONTROLS if asked else ()
    named = asked if isinstance(asked, list) else [asked]
    for role in named:
        if role not in ROLES:
            raise Refusal(f"controls={role} must be true or false, or a list of {', '.join(ROLES)}")
    return tuple(named)


def to_be_made(config: Mapping[str, Any]) -> bool:
    """Whether the row of a config is one of those to be made, and not only listed."""
    if config["only"] and not config["experiment"]:
        raise Refusal(f"only={config['only']} is of an experiment; say experiment=NAME, or leave it out")
    if not isinstance(config["made"], bool):
        raise Refusal(f"made={config['made']} must be true or false")
    return config["made"]


def put(asked: Request) -> None:
    """Write down what was asked for: the prompt lists and the manifest, and each cell's record.

    Not in a store that can only be read.
    """
    if not asked.store.writable():
        return
    for prompts in {job.prompts.record_digest: job.prompts for job in asked.listed}.values():
        lines = [{"text": p.text, "seed": p.seed, "meta": dict(p.meta)} for p in prompts.entries]
        asked.store.put_prompts(prompts.record_digest, lines)
    for job in asked.listed:
        asked.store.begin(job.cell, {"model": job.model.name, **job.recipe.cost._asdict()})
    manifest.put(asked.store, asked.manifest)


def with_known_controls(asked: Request, results: Results) -> Manifest:
    """The manifest, with controls that were not asked for but are in the store, for the tables.

    Only those whose pictures and scores are all there, unless allow_partial."""
    rows = list(asked.manifest.rows)
    for job in asked.jobs:
        for role, control in job.controls().items():
            titled = titles([control.cell])[control.cell.key]
            row = _row(control, role, ((job.id, role),), asked.metrics[job.id], titled)
            if results.complete(row) or (asked.allow_partial and results.there(row)):
                rows.append(row)
    return replace(asked.manifest, rows=merged(rows))


def _row(job: Job, role: str, control_of: tuple[tuple[str, str], ...], metrics: Sequence[Metric], title: str) -> Row:
    cost, n = job.recipe.cost, len(job.prompts.entries)
    return Row(
        id=job.id,
        cell=job.cell.key,
        prompts=job.prompts.record_digest,
        dataset=job.prompts.name,
        title=title,
        role=role,
        controls=control_of,
        scorers={metric.name: about_metric(metric) for metric in metrics},
        wanted=n if job.limit is None else min(job.limit, n),
        repeats=job.prompts.repeats,
        predictions=cost.predictions,
        evals=cost.evals,
    )


@lru_cache(maxsize=256)
def about_metric(metric: Metric) -> Mapping[str, Any]:
    """What a table must know of a metric, without it."""
    found: dict[str, Any] = {
        "id": identity(metric),
        "kind": "set" if isinstance(metric, SetMetric) else "image",
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "reads": list(metric.reads) if isinstance(metric, ImageScorer) else [],
    }
    if isinstance(metric, SetMetric):
        found |= {"features": identity(metric.features), "of_covariance": metric.of_covariance}
        if isinstance(metric.features, ImageScorer):
            found["sums"] = list(metric.features.reads)
    return found


def _shown(job: Job) -> str:
    seeds = [p.seed or 0 for p in job.prompts.entries]
    return f"{job.prompts.name}, {len(seeds)} prompts, seeds from {min(seeds)}"


def _name(config: Mapping[str, Any]) -> str:
    check_text("name", config["name"])
    experiment, scale = config["experiment"], config["scale"]
    if scale and not experiment:
        raise Refusal(f"scale={scale} is of an experiment of the paper; say experiment=NAME, or leave it out")
    name = named(str(experiment), scale) if experiment else str(config["name"] or "run")
    if "/" in name or name.startswith("."):
        raise Refusal(f"name={name} must be a name without slashes")
    return name


def _layout(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not config["experiment"]:
        return None
    from zz.cli.experiment import find

    return find(str(config["experiment"])).layout.to_json()


def _labels(config: Mapping[str, Any], role: str) -> tuple[str, ...]:
    check_text("label", config["label"])
    return (config["label"],) if role == "asked" and config["label"] else ()


def _loggers(config: Mapping[str, Any]) -> list[Logger]:
    return [build(node) for node in nodes("logger", config).values()]


def _measurements(config: Mapping[str, Any]) -> tuple[Measurement, ...]:
    return tuple(build(node) for node in nodes("measurements", config).values())


def _check_measurements(jobs: Sequence[Job], asked: Mapping[str, Sequence[Measurement]]) -> None:
    for job in jobs:
        for measurement in asked.get(job.id, ()):
            measurement.check(job.recipe.sampler.legs, job.model.watchable)


def _one_for_all(name: str, value: Any, first: Any) -> None:
    if value != first:
        raise Refusal(f"{name} holds for a whole sweep and cannot be swept over")


def _has_fields(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise Refusal(f"{name}={value} cannot be set as a whole; set its fields: {name}.FIELD=VALUE")


def size_of(config: DictConfig) -> tuple[int, int]:
    """(height, width) that a config asks for."""
    return pair(OmegaConf.to_object(config.size) if OmegaConf.is_config(config.size) else config.size)


def _job(config: Mapping[str, Any]) -> Job:
    dataset, recipe = dataset_of(config), recipe_of(config)
    scorers = tuple(m for m in metrics_of(config).values() if isinstance(m, ImageScorer) and m.reads)
    return job_of(config, recipe, dataset, scorers)


def dataset_of(config: Mapping[str, Any]) -> PromptSet:
    """The prompt set that a config asks for."""
    if config.get("dataset") is None:
        name = config["model"]["name"]
        raise Refusal(
            f"model={name} names no dataset of its own; choose one with dataset=, such as dataset=text "
            f"dataset.path=FILE; `python -m zz.doctor model={name}` says what else it needs"
        )
    found: PromptSet = build(config["dataset"])
    return found


def job_of(config: Mapping[str, Any], recipe: Recipe, dataset: PromptSet, scorers: tuple[ImageScorer, ...] = ()) -> Job:
    """The row of a recipe over a prompt set, from the seed and up to the limit that a config asks for."""
    check_count("seed", config["seed"])
    if config["limit"] is not None:
        check_count("limit", config["limit"], 1)
    if config["seed"] + max(prompt.seed or 0 for prompt in dataset.prompts) + REPEAT * dataset.repeats >= 2**63:
        raise Refusal(f"seed={config['seed']} is too large: seed + prompt number must stay below 2^63")
    return Job.of(recipe, _listed(dataset, config["seed"], scorers, config["limit"]), config["limit"])


def recipe_of(config: Mapping[str, Any]) -> Recipe:
    """The recipe that a config asks for, as it is. Raises ValueError where an object refuses its fields."""
    check_text("negative_prompt", negative := config["negative_prompt"])
    steps, sampler = config["steps"], build(config["sampler"])
    if config["budget"]["nfe"] is not None:
        steps, sampler = fit(sampler, config["budget"]["nfe"], config["budget"]["rule"])
    return Recipe(
        sampler=sampler,
        solver=build(config["solver"]),
        steps=steps,
        model=_model(config),
        guidance=build(config["guidance"]),
        schedule=build(config["schedule"]),
        size=pair(config["size"]),
        negative_prompt=negative,
        precision=build(config["runner"]).precision,
    )


@lru_cache(maxsize=64)
def _listed(dataset: PromptSet, seed: int, scorers: tuple[ImageScorer, ...], limit: int | None) -> PromptList:
    """The entries asked for. Meta that a scorer reads and the set has not is given by its world's grammar, once."""
    listed = dataset.listed(seed)

    def described(prompt: Prompt) -> Prompt:
        meta = dict(prompt.meta)
        for scorer in scorers:
            if not any(field in meta for field in scorer.reads):
                meta |= scorer.describe(prompt.text)
        return replace(prompt, meta=meta)

    if not scorers:
        return listed
    entries = (*map(described, listed.entries[:limit]), *(listed.entries[limit:] if limit is not None else ()))
    return replace(listed, entries=entries)


def _model(config: Mapping[str, Any]) -> Model:
    """The model, with the other networks of a reflection where any are asked for."""

    def side(name: str) -> Side:
        given = config[name]
        _has_fields(f"{name}.model", given["model"])
        other = build(OmegaConf.merge(config["model"], given["model"])) if given["model"] else None
        return Side(other, given["prompt"], given["negative_prompt"])

    return PerLeg(build(config["model"]), side("strong"), side("weak")).asked(tuple(Leg))
