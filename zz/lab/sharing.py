"""Predictions that cells share: trajectories that begin alike are answered from a prefix cache."""

import math
from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor

from zz.diffusion.cost import Cost
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.noise import KeyedNoise
from zz.diffusion.prediction import Gamma, Prediction, from_v
from zz.diffusion.prefix_cache import PrefixCache
from zz.diffusion.schedule import Node
from zz.lab.job import Job


def families(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs whose trajectories begin alike, together, in the order that shares most."""
    found: dict[tuple[Hashable, ...], list[Job]] = {}
    for job in jobs:
        found.setdefault(family(job), []).append(job)
    return [sorted(alike, key=lambda job: job.recipe.order) for alike in found.values()]


def family(job: Job) -> tuple[Hashable, ...]:
    """What two jobs must have in common to share: the recipe but for the sampler, and the prompt list.

    Under a guidance that remembers, the sampler too: its predictions cannot be taken up in their middle.
    """
    alone = job.recipe.sampler if job.recipe.guidance.remembers else None
    return (*job.recipe.family, job.prompts, alone)


def savings(family: Sequence[Job]) -> list[Cost]:
    """For each job of a family, in order, how much of its cost is answered from one made before."""
    cache = PrefixCache(family[0].recipe.evals)
    start, out = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), []

    def network(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
        return from_v(x, node, torch.sin(x * (1 + gamma)) + math.cos(node.time))  # other paths, other latents

    for job in family:
        before = Cost(cache.predictions, cache.evals)
        recipe, noise = job.recipe, KeyedNoise((0,), (1, 1, 1))
        with torch.inference_mode():
            recipe.sampler.sample(cache.of(Guided(network)), start, recipe.nodes, recipe.solver, noise)
        out.append(Cost(cache.predictions - before.predictions, cache.evals - before.evals))
    return out
