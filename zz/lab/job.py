"""A recipe and a job: how pictures are made, and of which prompts. Runs nothing."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

from zz.data.base import Picture, PromptList
from zz.diffusion.compute_matched import MatchedSteps, compute_matched
from zz.diffusion.cost import Cost, cost
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels
from zz.diffusion.probes.meter import Evals
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import ModelSchedule, Schedule
from zz.diffusion.schedules.uniform import UniformInTime
from zz.diffusion.solvers.base import Solver
from zz.diffusion.validate import check_count
from zz.lab.cell import Cell, row_id
from zz.lab.measurements.effective_guidance import EffectiveGuidance
from zz.lab.scale import MeasuredScale
from zz.models.base import Model
from zz.models.compatible import check_guidance, check_pair

CONTROLS = (
    "standard",
    "guidance_matched",
    "compute_matched_predictions",
    "compute_matched_evals",
)  # that controls=true makes
ROLES = (*CONTROLS, "e_cfg")  # of controls


@dataclass(frozen=True)
class Recipe:
    """All that moves the numbers of a picture but its prompt and seed. Plain enough to be sent to another process."""

    model: Model
    sampler: Sampler
    solver: Solver
    guidance: Guidance
    schedule: Schedule
    steps: int
    size: tuple[int, int]
    negative_prompt: str | None = None
    precision: str = "32"
    scale: MeasuredScale | None = None  # in place of the sampler's own guidance scale

    def resolved(self) -> "Recipe":
        """This recipe in its simplest form, so that equal pictures have equal cells.

        Raises ValueError where the fields do not fit together.
        """
        check_count("steps", self.steps, 1)
        sampler = self.sampler.resolve(self.steps)
        both = self.guidance.needs.weak  # then it asks both networks itself, on every leg
        model = self.model.asked((sampler.legs | {Leg.ZAG}) - {Leg.STRONG} if both else sampler.legs)
        sampler = sampler.on(frozenset() if both else model.others).resolve(self.steps)
        solver = (self.solver if Leg.ZAG in sampler.legs else self.solver.without_inversion).simplest
        guidance = self.guidance.asked(sampler.legs).simplest
        guidance = guidance if solver.uses_past else guidance.without_history
        recipe = replace(self, model=model, sampler=sampler, solver=solver, guidance=guidance)
        check_pair(recipe.sampler, recipe.guidance, recipe.model)
        check_guidance(recipe.guidance, recipe.model, [recipe.negative_prompt])
        recipe = replace(recipe, schedule=recipe._simplest_schedule())
        recipe.model.check_nodes(recipe.nodes)
        recipe.guidance.check_nodes(recipe.nodes)
        texts = [] if recipe.negative_prompt is None else [recipe.negative_prompt]
        recipe.model.check(recipe.size, texts, recipe.precision)
        return recipe

    def _simplest_schedule(self) -> Schedule:
        """`ModelSchedule` for one that spells out the model's own nodes. Raises ValueError where T cannot be placed."""
        levels, own = _levels(self.model)
        try:
            same = own.sized(self.size).nodes(levels, self.steps) == self.nodes
        except ValueError:
            _ = self.nodes  # raises where these steps cannot be placed at all
            return self.schedule  # this many steps do not fit the model's own
        return ModelSchedule() if same else self.schedule

    @cached_property
    def cell(self) -> Cell:
        """The ledger of everything that moves its numbers."""
        apart: dict[str, Any] = {"model": {"is": type(self.model).__name__} | dict(_identity(self.model))}
        if self.scale:
            apart["scale"] = self.scale.identity()
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("model", "scale")}
        return Cell.of(**apart, **own)

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes that it is sampled on."""
        levels, own = _levels(self.model)
        return self.schedule.bind(own).sized(self.size).nodes(levels, self.steps)

    @property
    def evals(self) -> Evals:
        """What one guided prediction takes at (gamma, node, leg)."""
        return self.guidance.for_nodes(self.nodes).evals

    @cached_property
    def cost(self) -> Cost:
        """Guided predictions and network evaluations an image."""
        return cost(self.sampler, self.guidance, self.nodes)

    @property
    def family(self) -> tuple[Hashable, ...]:
        """What two recipes must have in common for their trajectories to begin alike: all but the sampler."""
        return tuple(getattr(self, f.name) for f in fields(self) if f.name != "sampler")

    @property
    def order(self) -> tuple[int, str, int]:
        """Where in its family it is made: cells that differ in lambda together, the longest trajectory first."""
        sampler: Any = self.sampler
        if hasattr(sampler, "lambda_"):
            alike = {f.name: getattr(sampler, f.name) for f in fields(sampler) if f.name != "lambda_"}
            return 0, f"{type(sampler).__name__} {alike}", -self.cost.predictions
        return 1, "", -self.cost.predictions

    def controls(self) -> dict[str, "Recipe"]:
        """What it should be compared with, by role; none for standard sampling and the controls themselves."""
        return dict(self._controls)

    @cached_property
    def _controls(self) -> Mapping[str, "Recipe"]:
        if self.sampler.is_control:
            return {}
        standard = Standard(self.sampler.standard_gamma)
        found = {"standard": self._like(standard, self.steps, self.schedule)}
        matched = GuidanceMatched.of(self.sampler)
        if matched and self.guidance.affine and (self.guidance.needs.weak or not self.model.others):
            found["guidance_matched"] = self._like(matched, self.steps, self.schedule)
        if self.steps == 1:
            return found  # one step has no range to spread more of them over
        stretched, steps = self._compute_matched(replace(self, sampler=standard))
        found["compute_matched_predictions"] = self._like(standard, steps.by_predictions, stretched)
        if steps.by_evals != steps.by_predictions:
            found["compute_matched_evals"] = self._like(standard, steps.by_evals, stretched)
        return found

    def e_cfg(self) -> "Recipe | None":
        """Standard sampling at the effective guidance that is measured on each picture, by classifier-free guidance.

        For as many predictions; under another guidance, for as many network evaluations. Standard sampling
        by classifier-free guidance is its own. None: there is none, of one step, or of a guidance without branches.
        """
        if self.scale or (isinstance(self.sampler, Standard) and self.guidance.plain):
            return self
        if self.steps == 1 or self.guidance.needs.scaled:
            return None
        plain = replace(self, sampler=Standard(self.sampler.standard_gamma))
        plain = plain if self.guidance.plain else replace(plain, guidance=CFG())
        schedule, matched = self._compute_matched(plain)
        steps = matched.by_predictions if self.guidance.plain else matched.by_evals
        scale = MeasuredScale(self.cell, EffectiveGuidance(), "omega_e")
        return replace(plain._like(plain.sampler, steps, schedule), scale=scale)

    def _compute_matched(self, other: "Recipe") -> tuple[UniformInTime, MatchedSteps]:
        """Nodes for more steps of another recipe over the same range, and how many of them cost as much."""
        stretched = UniformInTime(self.schedule, self.steps)
        return stretched, compute_matched(self.cost, lambda T: replace(other, steps=T, schedule=stretched).cost)

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be computed again, for another process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _like(self, sampler: Sampler, steps: int, schedule: Schedule) -> "Recipe":
        return replace(self, sampler=sampler, steps=steps, schedule=schedule).resolved()


@lru_cache(maxsize=64)
def _levels(model: Model) -> tuple[Levels, Schedule]:
    return model.noise_levels()


@lru_cache(maxsize=64)
def _identity(model: Model) -> Mapping[str, Any]:
    """A model's weights are looked at once a run."""
    return model.identity()


@dataclass(frozen=True)
class Job:
    """One row: a recipe over the entries of a prompt list, of which the first `limit` are asked for."""

    recipe: Recipe
    prompts: PromptList
    limit: int | None = None

    @classmethod
    def of(cls, recipe: Recipe, prompts: PromptList, limit: int | None = None) -> "Job":
        """Checked and resolved. Raises ValueError where the recipe cannot make these prompts."""
        recipe = recipe.resolved()
        _check(recipe.model, recipe.size, recipe.precision, prompts, limit)
        return cls(recipe, prompts, limit)

    @property
    def cell(self) -> Cell:
        """The cell of its recipe."""
        return self.recipe.cell

    @property
    def model(self) -> Model:
        """The model of its recipe."""
        return self.recipe.model

    @property
    def frames(self) -> int:
        """Frames of one of its clips; 1 for pictures."""
        return self.recipe.model.frames

    @cached_property
    def id(self) -> str:
        """The row's name: 16 hex digits of the cell's key and of the prompt list, whatever the limit."""
        return row_id(self.cell.key, self.prompts.digest)

    @property
    def pictures(self) -> list[Picture]:
        """What is asked for, in order."""
        return self.prompts.pictures(self.limit)

    @property
    def wanted(self) -> int:
        """How many pictures are asked for."""
        n = len(self.prompts.entries)
        return self.prompts.repeats * (n if self.limit is None else min(self.limit, n))

    def names(self) -> list[str]:
        """The names of its pictures, in order."""
        return self.prompts.names(self.limit)

    def controls(self, roles: Sequence[str] = CONTROLS) -> dict[str, "Job"]:
        """Its controls over the same prompts, by role."""
        found = self.recipe.controls() if roles else {}
        if "e_cfg" in roles and (effective := self.recipe.e_cfg()):
            found["e_cfg"] = effective
        return {role: replace(self, recipe=found[role]) for role in roles if role in found}

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be computed again, for another process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@lru_cache(maxsize=64)
def _check(model: Model, size: tuple[int, int], precision: str, prompts: PromptList, limit: int | None) -> None:
    """A model looks at the texts of a list once a run."""
    model.check(size, list(dict.fromkeys(prompt.text for prompt in prompts.entries[:limit])), precision)


__all__ = ["CONTROLS", "ROLES", "Job", "Recipe"]
