"""A model of which no file is read: what a plan asks of it. It cannot be opened."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels, discrete
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.schedules.timesteps import Timesteps
from zz.hub.location import is_id
from zz.hub.sources import sources
from zz.models.base import Can, Model, Pipeline
from zz.models.networks import PerLeg
from zz.models.pretrained.description import Pretrained

TOLD = ("name", "gamma1", "steps", "size", "batch_size", "frames", "fps")
MOVES_NOTHING = ("gamma1", "steps", "size", "batch_size", "fps", "card", "savings")  # of a description's fields


@dataclass(frozen=True)
class Absent(Model):
    """A description whose files are left alone. Its noise levels and schedule are Stable Diffusion's, whatever its own
    are: what a picture costs depends on levels in guidance=interval only.

    own: the description
    """

    own: Model
    name: str = field(init=False)
    gamma1: float = field(init=False)
    steps: int = field(init=False)
    size: tuple[int, int] = field(init=False)
    batch_size: int = field(init=False)
    frames: int = field(init=False)
    fps: int = field(init=False)

    def __post_init__(self) -> None:
        for name in TOLD:
            object.__setattr__(self, name, getattr(self.own, name))

    @property
    def can(self) -> Can:
        return self.own.can

    @property
    def watchable(self) -> bool:
        return self.own.watchable

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        return self.own.negative_prompts

    @property
    def others(self) -> frozenset[Leg]:
        return self.own.others

    def asked(self, legs: Collection[Leg]) -> Model:
        return Absent(self.own.asked(legs))

    def identity(self) -> Mapping[str, Any]:
        described: Any = self.own  # a dataclass, as all descriptions are
        return {name: value for name, value in asdict(described).items() if name not in MOVES_NOTHING}

    def noise_levels(self) -> tuple[Levels, Schedule]:
        return discrete(), Timesteps()

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        return

    def open(self, device: str = "cpu", precision: str = "32") -> AbstractContextManager[Pipeline]:
        raise ValueError(f"model={self.name} is counted without its files here and cannot be opened")


def on_hub(model: Model) -> bool:
    """Whether any of its files come from the hub."""
    return any(is_id(name) for one in _pretrained(model) for f in _fields(one) if (name := getattr(one, f)))


def here(model: Model) -> bool:
    """Whether all of its files are on this machine. Downloads configurations, no weights."""
    return all(source.whole for one in _pretrained(model) for source in sources(one))


def _pretrained(model: Model) -> list[Pretrained]:
    models = model.models() if isinstance(model, PerLeg) else [model]
    return [one for one in models if isinstance(one, Pretrained)]


def _fields(model: Pretrained) -> tuple[str, ...]:
    """The fields that name where files come from."""
    return ("pretrained", *model.classes)


__all__ = ["Absent", "here", "on_hub"]
