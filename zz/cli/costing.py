"""Rows of experiments whose weights and prompts are not on the machine, and what their models take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from zz.cli.conf import Refusal
from zz.cli.config import resolved
from zz.cli.request import dataset_of, job_of, recipe_of, roles, to_be_made
from zz.data.base import PromptSet
from zz.data.numbered import Numbered
from zz.diffusion.validate import check_number
from zz.lab.costing import Network
from zz.lab.job import Job
from zz.models.absent import Absent, here, on_hub

BASE = 4.0  # GB that Python, torch and CUDA take


@cache
def costs() -> Mapping[str, Any]:
    """What is known of the paper's models and prompt sets without them."""
    path = Path(__file__).resolve().parent.parent / "experiments" / "costs.yaml"
    found: Any = OmegaConf.to_container(OmegaConf.load(path))
    return found


def networks() -> dict[str, Network]:
    """What models take, by name."""
    found: dict[str, Network] = {}
    for name, said in costs()["models"].items():
        size = (said["size"], said["size"])
        found[name] = Network(size, said["evaluation"], said["decoding"], said.get("frames", 1))
    return found


def sustained(config: DictConfig) -> float:
    """What one GPU sustains, in TFLOP/s."""
    check_number("tflops", config.tflops, 0)
    if not config.tflops:
        raise Refusal(f"tflops={config.tflops} must be above 0: what one GPU sustains, in TFLOP/s")
    return float(config.tflops)


def lacking(configs: Sequence[DictConfig]) -> list[str]:
    """The models and prompt sets that are not on this machine, by name. Downloads configurations only."""
    found: dict[str, bool] = {}
    for values in map(resolved, configs):
        model, dataset = recipe_of(values).model, dataset_of(values)
        if model.name not in found:
            found[model.name] = here(model)
        if dataset.name not in found:
            found[dataset.name] = all(file.here for file in dataset.files)
    return [name for name, there in found.items() if not there]


def rows(configs: Sequence[DictConfig]) -> tuple[list[Job], list[Job]]:
    """The rows that are asked for, and their controls. No file of the hub, and none of published prompts, is read."""
    asked, controls = list[Job](), list[Job]()
    for values in filter(to_be_made, map(resolved, configs)):
        recipe = recipe_of(values)
        if on_hub(recipe.model):
            recipe = replace(recipe, model=Absent(recipe.model))
        asked.append(job_of(values, recipe, _numbered(dataset_of(values))))
        controls += asked[-1].controls(roles(values["controls"])).values()
    return asked, controls


@lru_cache(maxsize=64)
def _numbered(dataset: PromptSet) -> PromptSet:
    """The set itself, or one of as many prompts where its files would have to be read."""
    if not dataset.files:
        return dataset
    known = costs()["prompts"]
    if dataset.name not in known:
        raise Refusal(
            f"dataset={dataset.name} is not here, and experiments/costs.yaml does not say how many prompts it has: add "
            "it there, or bring it with `python -m zz.doctor download=true` and the same words"
        )
    if dataset.where:
        raise Refusal(
            f"dataset.where={dict(dataset.where)} asks what {dataset.name} says of its prompts, which are not here; "
            "bring them with `python -m zz.doctor download=true` and the same words"
        )
    return Numbered(
        name=dataset.name,
        count=known[dataset.name],
        repeats=dataset.repeats,
        indices=dataset.indices,
        skip=dataset.skip,
    )


def memory(configs: Sequence[DictConfig]) -> float:
    """GB that one worker needs for the largest model: its weights as they are read, and once more."""
    sizes = (OmegaConf.select(config, "model.card.download_gb") for config in configs)
    return BASE + 2 * max(size or 0 for size in sizes)
