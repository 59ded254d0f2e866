"""Several networks in one latent space: one for the steps, others for the two legs of a reflection (W2SD).

Weak-to-strong diffusion (Bai et al. 2025, arXiv:2502.00473) denoises with a strong network and inverts with a weak one.
The two may differ in guidance (fields of the sampler), in the prompt, or in the weights.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

from torch import Tensor

from zz.diffusion.guidance.autoguidance import OfWeak
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import check_text
from zz.models.base import Can, Model, Pipeline


@dataclass(frozen=True)
class Side:
    """How the network of one leg differs from that of the steps. None: it does not.

    model:           another model in the same latent space, such as one with other weights or a LoRA at another scale
    prompt:          a prompt for all pictures, in which {prompt} is replaced by each one's own; "": an empty prompt
    negative_prompt: a negative prompt for all pictures
    """

    model: Model | None = None
    prompt: str | None = None
    negative_prompt: str | None = None

    def texts(
        self, prompts: Sequence[str], negatives: Sequence[str | None]
    ) -> tuple[Sequence[str], Sequence[str | None]]:
        """The prompts and negative prompts of this network, given those of the steps."""
        if self.prompt is not None:
            prompts = [self.prompt.replace("{prompt}", text) for text in prompts]
        return prompts, negatives if self.negative_prompt is None else [self.negative_prompt] * len(prompts)

    @property
    def guides(self) -> bool:
        """Whether it answers a prompt otherwise, so that one can be guided away from it."""
        return self.model is not None or self.prompt is not None


SAME = Side()


@dataclass(frozen=True)
class PerLeg(Model):
    """A network for the steps, and others for legs that denoise or invert within a step.

    own:    the network of the steps; it also encodes pictures, decodes, and has the recommended values
    strong: the network of the denoising leg of sampler=reflection and rf_sampling
    weak:   the network of the inverting leg of every sampler
    """

    own: Model
    strong: Side = SAME
    weak: Side = SAME
    name: str = field(init=False)
    gamma1: float = field(init=False)
    steps: int = field(init=False)
    size: tuple[int, int] = field(init=False)
    batch_size: int = field(init=False)
    frames: int = field(init=False)
    fps: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", self.own.asked(tuple(Leg)))
        for name in ("name", "gamma1", "steps", "size", "batch_size", "frames", "fps"):
            object.__setattr__(self, name, getattr(self.own, name))
        for name, side in (("strong", self.strong), ("weak", self.weak)):
            check_text(f"{name}.prompt", side.prompt)
            check_text(f"{name}.negative_prompt", side.negative_prompt)
            model = side.model and side.model.asked(tuple(Leg)).as_leg()
            side = replace(
                side,
                model=None if model == self.own.as_leg() else model,
                prompt=None if side.prompt == "{prompt}" else side.prompt,
            )
            object.__setattr__(self, name, side)

    @property
    def can(self) -> Can:
        return replace(reduce(and_, (model.can for model in self.models())), weak=self.weak.guides)

    @property
    def has_weights(self) -> bool:
        return any(model.has_weights for model in self.models())

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        return tuple(n for side in (self.strong, self.weak) if (n := side.negative_prompt) is not None)

    @property
    def others(self) -> frozenset[Leg]:
        sides = ((Leg.STRONG, self.strong), (Leg.ZAG, self.weak))
        return frozenset(leg for leg, side in sides if side != SAME)

    def asked(self, legs: Collection[Leg]) -> Model:
        strong, weak = (self.strong if Leg.STRONG in legs else SAME), (self.weak if Leg.ZAG in legs else SAME)
        return self.own if strong == weak == SAME else PerLeg(self.own, strong, weak)

    def identity(self) -> Mapping[str, Any]:
        def differs(side: Side) -> dict[str, Any]:
            texts = {"prompt": side.prompt, "negative_prompt": side.negative_prompt}
            found: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
            if side.model:
                found["model"] = {"is": type(side.model).__name__} | dict(side.model.identity())
            return found

        sides = {name: differs(side) for name, side in (("strong", self.strong), ("weak", self.weak)) if side != SAME}
        return {"own": type(self.own).__name__} | dict(self.own.identity()) | sides

    def source(self) -> Mapping[str, Any]:
        found = dict(self.own.source())
        for name, side in (("strong", self.strong), ("weak", self.weak)):
            found |= {f"{name}.{k}": v for k, v in (side.model.source() if side.model else {}).items()}
        return found

    def noise_levels(self) -> tuple[Levels, Schedule]:
        return self.own.noise_levels()

    def check_nodes(self, nodes: Nodes) -> None:
        for model in self.models():
            model.check_nodes(nodes)

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        self.own.check(size, prompts, precision)
        for name, side in (("strong", self.strong), ("weak", self.weak)):
            texts, negatives = side.texts(prompts, [None] * len(prompts))
            said = [text for text in (*texts, *negatives) if text is not None] if side != SAME else []
            (side.model or self.own).check(size, said, precision)
            if side.model and side.model.noise_levels()[0] != self.own.noise_levels()[0]:
                raise ValueError(f"{name}.model={side.model.name} has other noise levels than {self.own.name}")

    @contextmanager
    def open(self, device: str = "cpu", precision: str = "32") -> Iterator["PerLegPipeline"]:
        with ExitStack() as stack:
            opened = {model: stack.enter_context(model.open(device, precision)) for model in self.models()}
            yield PerLegPipeline(self, opened)

    def models(self) -> list[Model]:
        """The distinct models among them."""
        return list(dict.fromkeys([self.own, *(s.model for s in (self.strong, self.weak) if s.model)]))


class PerNetwork(NamedTuple):
    """One condition for each network."""

    own: Any
    strong: Any
    weak: Any


class PerLegPipeline(Pipeline):
    """The open networks. Called, it is the network of the steps; bound to a guidance, each leg has its own."""

    def __init__(self, model: PerLeg, opened: Mapping[Model, Pipeline]) -> None:
        self.own = opened[model.own]
        self.sides = {
            Leg.STRONG: (model.strong, opened[model.strong.model or model.own]),
            Leg.ZAG: (model.weak, opened[model.weak.model or model.own]),
        }
        can = reduce(and_, (pipeline.can for pipeline in opened.values()))
        self._can = replace(can, weak=model.weak.guides)
        self.device, self.levels, self.schedule, self.size = (
            self.own.device,
            self.own.levels,
            self.own.schedule,
            self.own.size,
        )

    @property
    def can(self) -> Can:
        return self._can

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        shape = self.own.shape(size)
        for leg, (_, pipeline) in self.sides.items():
            if pipeline.shape(size) != shape:
                name = "strong" if leg is Leg.STRONG else "weak"
                raise ValueError(f"{name}.model has latents {pipeline.shape(size)}, the steps' model has {shape}")
        return shape

    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[PerNetwork, PerNetwork]:
        own = self.own.encode(prompts, negative_prompts)
        others = [
            own if side == SAME else pipeline.encode(*side.texts(prompts, negative_prompts))
            for side, pipeline in self.sides.values()
        ]
        cond, uncond = zip(own, *others, strict=True)
        return PerNetwork(*cond), PerNetwork(*uncond)

    def start(self, noise: Tensor, cond: PerNetwork) -> Tensor:
        return self.own.start(noise, cond.own)

    def cut(self, prompts: Sequence[str]) -> dict[str, int]:
        found = self.own.cut(prompts)
        for side, pipeline in self.sides.values():
            texts, negatives = side.texts(prompts, [None] * len(prompts))
            found |= pipeline.cut([text for text in dict.fromkeys((*texts, *negatives)) if text is not None])
        return found

    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        _, weak = self.sides[Leg.ZAG]
        of_weak = [cond.cond.weak for cond in conds if isinstance(cond, OfWeak)]
        of_own = [cond.own for cond in conds if not isinstance(cond, OfWeak)]
        weak_said = iter(weak(x, node, *of_weak) if of_weak else ())
        own_said = iter(self.own(x, node, *of_own) if of_own else ())
        return tuple(next(weak_said if isinstance(cond, OfWeak) else own_said) for cond in conds)

    def bind(self, guidance: Guidance, cond: PerNetwork, uncond: PerNetwork) -> Guided:
        if guidance.needs.weak:  # it asks both networks itself, on every leg
            return guidance.bind(self, cond, uncond)
        own = self.own.bind(guidance, cond.own, uncond.own)
        strong, weak = (pipeline for _, pipeline in self.sides.values())
        by_leg = {
            Leg.STRONG: strong.bind(guidance, cond.strong, uncond.strong),
            Leg.ZAG: weak.bind(guidance, cond.weak, uncond.weak),
        }

        def guided(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
            return by_leg.get(leg, own)(x, node, gamma, leg)

        return Guided(guided, lambda x, node, leg: by_leg.get(leg, own).look(x, node, leg))

    def decode(self, x: Tensor) -> Tensor:
        return self.own.decode(x)

    def encode_image(self, pictures: Tensor) -> Tensor:
        return self.own.encode_image(pictures)


__all__ = ["PerLeg", "Side"]
