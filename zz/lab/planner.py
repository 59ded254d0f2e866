"""From what was asked for to what has to be done: jobs, their controls, and what they cost. Runs nothing."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.curve import Curve
from zz.diffusion.fields import check_count
from zz.diffusion.guidance import Guidance
from zz.diffusion.memory import Memory
from zz.diffusion.noise import KeyedNoise
from zz.diffusion.prediction import Prediction, from_v
from zz.diffusion.samplers import GuidanceMatched, Reflection, Sampler, Standard
from zz.diffusion.samplers.controls import Cost, compute_matched, cost
from zz.diffusion.schedule import Node, Schedule
from zz.diffusion.solvers import Solver
from zz.diffusion.spacing import Own, Spacing, Uniform
from zz.diffusion.trajectory import Leg
from zz.lab.cell import Cell
from zz.lab.store import Store
from zz.models.base import Model
from zz.sampling import check_guidance, check_pair
from zz.scorers.base import Scorer


@dataclass(frozen=True)
class Job:
    """A cell, and all that it takes to make it. Plain enough to be sent to another process.

    prompts: the whole prompt set
    wanted:  how many of them, from the first, are asked for
    scorers: what its pictures are scored by; not part of the cell
    config:  the resolved configuration that it, or the job that it controls, was asked for with; for the record
    """

    model: Model
    sampler: Sampler
    solver: Solver
    guidance: Guidance
    spacing: Spacing
    steps: int
    size: tuple[int, int]
    seed: int
    negative_prompt: str | None
    precision: str
    dataset: str
    digest: str
    prompts: tuple[str, ...]
    wanted: int
    scorers: tuple[Scorer, ...] = ()
    config: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def resolved(self) -> "Job":
        """This job reduced to its simplest form, so that equal pictures have equal cells.

        Raises ValueError where the fields do not fit together.
        """
        check_count("steps", self.steps, 1)
        sampler = self.sampler.resolve(self.steps)
        model = self.model.asked(sampler.legs)
        if isinstance(sampler, Reflection) and Leg.STRONG not in model.others:
            sampler = sampler.by_one
        solver = self.solver if sampler.inverts else self.solver.plain
        job = replace(self, model=model, sampler=sampler, solver=solver.simplest, guidance=self.guidance.simplest)
        check_pair(job.sampler, job.guidance, job.model)
        check_guidance(job.guidance, job.model, [job.negative_prompt])
        job = replace(job, spacing=job._simplest_spacing())
        job.model.check(job.size, job.prompts[: job.wanted], job.precision)
        for scorer in job.scorers:
            scorer.check(job.prompts[: job.wanted])
        if job.negative_prompt is not None:
            job.model.check(job.size, [job.negative_prompt], job.precision)
        return job

    def _simplest_spacing(self) -> Spacing:
        """`Own` for a spacing that spells out the model's own nodes. Raises ValueError where T cannot be placed."""
        nodes = self.schedule
        curve, own = _levels(self.model)
        try:
            return Own() if own.sized(self.size).schedule(curve, self.steps) == nodes else self.spacing
        except ValueError:
            return self.spacing  # this many steps do not fit the model's own

    @cached_property
    def cell(self) -> Cell:
        """The ledger of everything that moves this job's numbers."""
        return Cell.of(
            model={"is": type(self.model).__name__} | dict(_identity(self.model)),
            sampler=self.sampler,
            solver=self.solver,
            guidance=self.guidance,
            schedule=self.spacing,
            steps=self.steps,
            size=self.size,
            seed=self.seed,
            negative_prompt=self.negative_prompt,
            precision=self.precision,
            dataset=self.digest,
        )

    @cached_property
    def schedule(self) -> Schedule:
        """The nodes that it is sampled on."""
        curve, own = _levels(self.model)
        return self.spacing.bind(own).sized(self.size).schedule(curve, self.steps)

    @cached_property
    def cost(self) -> Cost:
        """Guided predictions and network rows an image."""
        return cost(self.sampler, self.guidance, self.schedule)

    @property
    def family(self) -> tuple[Hashable, ...]:
        """What two jobs must have in common for their trajectories to begin alike: all but the sampler."""
        own = (self.model, self.solver, self.guidance, self.spacing, self.steps, self.size, self.seed)
        return (*own, self.negative_prompt, self.precision, self.digest)

    @property
    def order(self) -> tuple[int, str, int]:
        """Where in its family it is made: cells that differ in lambda together, the longest trajectory first."""
        sampler: Any = self.sampler
        if hasattr(sampler, "lambda_"):
            alike = {f.name: getattr(sampler, f.name) for f in fields(sampler) if f.name != "lambda_"}
            return 0, f"{type(sampler).__name__} {alike}", -self.cost.predictions
        return 1, "", -self.cost.predictions

    def controls(self) -> dict[str, "Job"]:
        """What this job should be compared with, by name; none for standard sampling and the controls themselves."""
        if isinstance(self.sampler, Standard | GuidanceMatched):
            return {}
        standard = Standard(self.sampler.gamma1)
        found = {"standard": self._like(standard, self.steps, self.spacing)}
        if (matched := self.sampler.matched) and self.guidance.linear and not self.model.others:
            found["guidance_matched"] = self._like(matched, self.steps, self.spacing)
        if self.steps == 1:
            return found  # one step has no range to spread more of them over
        stretched = Uniform(self.spacing, self.steps)
        steps = compute_matched(self.cost, lambda T: replace(self, sampler=standard, steps=T, spacing=stretched).cost)
        found["compute_matched (predictions)"] = self._like(standard, steps.by_predictions, stretched)
        if steps.by_rows != steps.by_predictions:
            found["compute_matched (rows)"] = self._like(standard, steps.by_rows, stretched)
        return found

    def _like(self, sampler: Sampler, steps: int, spacing: Spacing) -> "Job":
        return replace(self, sampler=sampler, steps=steps, spacing=spacing).resolved()


@lru_cache(maxsize=64)
def _levels(model: Model) -> tuple[Curve, Spacing]:
    return model.levels()


@lru_cache(maxsize=64)
def _identity(model: Model) -> Mapping[str, Any]:
    """A model's weights are looked at once a run."""
    return model.identity()


@dataclass(frozen=True)
class Plan:
    """Distinct jobs, in the order they were first asked for, and what they lack."""

    asked: int  # jobs asked for, controls not counted
    own: int  # distinct cells among them; the rest are controls
    jobs: tuple[Job, ...]
    missing: tuple[int, ...]  # pictures, by job
    broken: tuple[str, ...]  # pictures that are there but not whole
    shared: tuple[Cost, ...]  # by job: what trajectories that begin alike spare it (about, if they lack other pictures)

    @property
    def images(self) -> int:
        return sum(self.missing)

    @property
    def there(self) -> int:
        return sum(job.wanted for job in self.jobs) - self.images

    @property
    def saved(self) -> Cost:
        """What sharing saves over all jobs."""
        return Cost(sum(c.predictions for c in self.shared), sum(c.rows for c in self.shared))

    @property
    def costs(self) -> list[Cost]:
        """By job: what its missing pictures cost, what is shared left out."""
        return [
            Cost(n * job.cost.predictions - shared.predictions, n * job.cost.rows - shared.rows)
            for job, n, shared in zip(self.jobs, self.missing, self.shared, strict=True)
        ]

    @property
    def predictions(self) -> int:
        return sum(cost.predictions for cost in self.costs)

    @property
    def rows(self) -> int:
        return sum(cost.rows for cost in self.costs)


def families(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs whose trajectories begin alike, together, in the order that shares most."""
    found: dict[tuple[Hashable, ...], list[Job]] = {}
    for job in jobs:
        found.setdefault(job.family, []).append(job)
    return [sorted(family, key=lambda job: job.order) for family in found.values()]


def shared(family: Sequence[Job]) -> list[Cost]:
    """For each job of a family, in order, how much of its cost is answered from one made before."""
    memory = Memory(family[0].guidance.rows)
    start, out = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), []

    def network(x: Tensor, node: Node, gamma: float, leg: Leg) -> Prediction:
        return from_v(x, node, torch.sin(x * (1 + gamma)) + math.cos(node.time))  # other paths, other latents

    for job in family:
        before = Cost(memory.predictions, memory.rows)
        noise = KeyedNoise((0,), (1, 1, 1))
        with torch.inference_mode():
            job.sampler.sample(memory.of(network), start, job.schedule, job.solver, noise)
        out.append(Cost(memory.predictions - before.predictions, memory.rows - before.rows))
    return out


def plan(jobs: Sequence[Job], asked: int, store: Store, share: bool = True) -> Plan:
    """Merge equal cells and look up what is already done. The first `asked` jobs were asked for; controls follow.

    share: whether the runner will share what trajectories have in common
    """
    distinct = merged(jobs)
    own = len(merged(jobs[:asked]))
    lacks = [store.missing(job.cell, range(job.wanted)) for job in distinct]
    broken = [str(store.image_path(job.cell, i)) for job, m in zip(distinct, lacks, strict=True) for i in m.broken]
    missing = {job.cell.key: len(m.indices) for job, m in zip(distinct, lacks, strict=True)}
    shares: dict[str, Cost] = {}
    for family in families(job for job in distinct if missing[job.cell.key]):
        if share and len(family) > 1:
            for job, part in zip(family, shared(family), strict=True):
                n = min(missing[job.cell.key], missing[family[0].cell.key])
                shares[job.cell.key] = Cost(n * part.predictions, n * part.rows)
    found = tuple(shares.get(job.cell.key, Cost(0, 0)) for job in distinct)
    return Plan(asked, own, tuple(distinct), tuple(missing.values()), tuple(broken), found)


def merged(jobs: Iterable[Job]) -> list[Job]:
    """One job a cell, in the order the cells first appear: the most prompts, and every scorer, that any asks for."""
    found: dict[str, Job] = {}
    for job in jobs:
        known = found.setdefault(job.cell.key, job)
        wanted, scorers = max(known.wanted, job.wanted), tuple(dict.fromkeys(known.scorers + job.scorers))
        if (wanted, scorers) != (known.wanted, known.scorers):
            found[job.cell.key] = replace(known, wanted=wanted, scorers=scorers)
    return list(found.values())
