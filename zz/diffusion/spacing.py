"""Spacings: which of a network's noise levels a sampler stands on, as an explicit chain of T + 1 nodes.

A chain has no hidden rule for "the next timestep" (diffusers' DDIM steps to t - N // T whatever the list
says), so every spacing can be walked down and back up exactly.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from zz.diffusion.curve import Curve, Discrete, Flow, discrete
from zz.diffusion.fields import check_choice, check_count, check_number
from zz.diffusion.schedule import Node, Schedule

Final = Literal["clean", "first"]


class Spacing(ABC):
    """A rule that picks T + 1 nodes on a curve."""

    @abstractmethod
    def schedule(self, curve: Curve, T: int) -> Schedule:
        """The chain of nodes. Raises ValueError where T steps cannot be placed."""

    def bind(self, own: "Spacing") -> "Spacing":
        """This spacing, with `own` for the model's own wherever it stands in it."""
        return self

    def sized(self, size: tuple[int, int]) -> "Spacing":
        """This spacing for a picture of (height, width) pixels. Most are the same for any; one that is not is bound."""
        return self


@dataclass(frozen=True)
class Own(Spacing):
    """The spacing that the model's makers sample on."""

    def schedule(self, curve: Curve, T: int) -> Schedule:
        raise ValueError("a model's own spacing is known to the model only; bind it first")

    def bind(self, own: Spacing) -> Spacing:
        return own


@dataclass(frozen=True)
class Timesteps(Spacing):
    """diffusers' three spacings (Lin et al. 2024, Table 2), for a discrete curve.

    spacing: leading, trailing or linspace
    offset:  added to every leading timestep (`steps_offset`); the other two have none
    final:   the last node: `clean` (alpha = 1) or `first` (the network's least noisy level; `set_alpha_to_one: false`)
    """

    spacing: Literal["leading", "trailing", "linspace"] = "leading"
    offset: int = 1
    final: Final = "first"

    def __post_init__(self) -> None:
        check_choice("schedule.spacing", self.spacing, ("leading", "trailing", "linspace"))
        check_choice("schedule.final", self.final, ("clean", "first"))
        check_count("schedule.offset", self.offset)

    def schedule(self, curve: Curve, T: int) -> Schedule:
        N = curve.N
        if not 1 <= T <= N:
            raise ValueError(f"steps={T} cannot be placed on {N} training timesteps; choose 1..{N}")
        if self.spacing == "leading":
            times = [i * (N // T) + self.offset for i in range(T)][::-1]
        elif self.spacing == "trailing":
            times = [round(N - i * N / T) - 1 for i in range(T)]
        else:
            times = [round(i * (N - 1) / max(T - 1, 1)) for i in range(T)][::-1]
        if times[0] > N - 1:
            raise ValueError(
                f"steps={T} with {self.spacing} spacing and offset {self.offset} asks for timestep {times[0]}, "
                f"but the network's last is {N - 1}; choose fewer steps, or schedule=trailing"
            )
        return Explicit(tuple(times), self.final).schedule(curve, T)


@dataclass(frozen=True)
class Explicit(Spacing):
    """Timesteps as given, noisy to clean, then the final node. T must be their number."""

    times: tuple[float, ...]
    final: Final = "first"

    def __post_init__(self) -> None:
        for time in self.times:
            check_number("schedule.times", time, 0)
        object.__setattr__(self, "times", tuple(float(t) for t in self.times))
        check_choice("schedule.final", self.final, ("clean", "first"))

    def schedule(self, curve: Curve, T: int) -> Schedule:
        if len(self.times) != T:
            raise ValueError(
                f"the schedule lists {len(self.times)} timesteps but steps={T}; set steps={len(self.times)}"
            )
        nodes = [curve.node(t) for t in self.times]
        if nodes[-1].time == 0 and self.final == "first":
            raise ValueError(f"steps={T} ends at timestep 0, which is the final node already; use schedule.final=clean")
        return Schedule((*nodes, final_node(curve, self.final)))


@dataclass(frozen=True)
class LogUniform(Spacing):
    """Nodes uniform in log(sigma / alpha) between fixed endpoints for any T, with fractional times.

    The grid for questions of convergence: leading spacing moves its first node with T.
    """

    r_max: float = 14.0
    r_min: float = 0.03

    def __post_init__(self) -> None:
        check_number("schedule.r_min", self.r_min, 1e-9)
        check_number("schedule.r_max", self.r_max, self.r_min)

    def schedule(self, curve: Curve, T: int) -> Schedule:
        def node(i: int) -> Node:
            return curve.level(math.exp(math.log(self.r_max) + (math.log(self.r_min) - math.log(self.r_max)) * i / T))

        return Schedule(tuple(node(i) for i in range(T + 1)))


@dataclass(frozen=True)
class Uniform(Spacing):
    """Nodes uniform in time from node 0 to node `steps` - 1 of another spacing, then its final node.

    The compute-matched control: T steps over the very range that `base` covers in `steps` steps.
    """

    base: Spacing
    steps: int

    def schedule(self, curve: Curve, T: int) -> Schedule:
        nodes = self.base.schedule(curve, self.steps).nodes
        first, last = nodes[0].time, nodes[-2].time
        times = [first + (last - first) * i / max(T - 1, 1) for i in range(T)]
        return Schedule((*(curve.node(t) for t in times), nodes[-1]))

    def bind(self, own: Spacing) -> Spacing:
        return replace(self, base=self.base.bind(own))

    def sized(self, size: tuple[int, int]) -> Spacing:
        return replace(self, base=self.base.sized(size))


@dataclass(frozen=True)
class Shifted(Spacing):
    """Rectified flow's uniform times with a shift, t -> shift * t / (1 + (shift - 1) * t) (Esser et al. 2024, Eq. 23).

    shift: above 0; 1 is uniform, SD3 uses 3
    last:  the last noisy time before the shift, in (0, 1]; None: 1 / T
    """

    shift: float = 1.0
    last: float | None = None

    def __post_init__(self) -> None:
        check_number("schedule.shift", self.shift, 1e-6)
        if self.last is not None:
            check_number("schedule.last", self.last, 1e-6, 1)

    def schedule(self, curve: Curve, T: int) -> Schedule:
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        if not isinstance(curve, Flow):
            raise ValueError("a shifted flow schedule needs a rectified-flow model; choose schedule=model")
        last = 1 / T if self.last is None else self.last
        ts = [1 + (last - 1) * i / max(T - 1, 1) for i in range(T)]
        ts = [self.shift * t / (1 + (self.shift - 1) * t) for t in ts]
        return Schedule((*(Node(1 - t, t, curve.N * t) for t in ts), curve.node(0.0)))


@dataclass(frozen=True)
class ShiftedBySize(Spacing):
    """`Shifted` by more for larger pictures (Esser et al. 2024, Section 5.3.2): mu is linear in the number of tokens.

    mu:     at `tokens` of the same order; beyond them on the same line
    tokens: how many a picture has, fewer and more
    side:   pixels a side that one token covers
    growth: what the shift is: exponential (exp(mu)) or linear (mu)
    last:   as in `Shifted`
    """

    mu: tuple[float, float] = (0.5, 1.15)
    tokens: tuple[int, int] = (256, 4096)
    side: int = 16
    growth: Literal["exponential", "linear"] = "exponential"
    last: float | None = None

    def schedule(self, curve: Curve, T: int) -> Schedule:
        raise ValueError("this model shifts its times by the picture's size; give size, or schedule=shifted")

    def sized(self, size: tuple[int, int]) -> Spacing:
        many = (size[0] // self.side) * (size[1] // self.side)
        slope = (self.mu[1] - self.mu[0]) / (self.tokens[1] - self.tokens[0])
        mu = self.mu[0] + slope * (many - self.tokens[0])
        return Shifted(math.exp(mu) if self.growth == "exponential" else mu, self.last)


def from_config(config: Mapping[str, Any], side: int = 16, even: bool = False) -> tuple[Curve, Spacing]:
    """Read a diffusers scheduler config (its dictionary, of any class) as DDIM or flow-Euler would.

    Missing keys take the defaults of diffusers' DDIMScheduler, as `DDIMScheduler.from_config` does.

    side: pixels a side of one token, for a flow whose shift depends on the picture's size
    even: whether the model's makers end a flow at 1 / T, as FLUX's; otherwise at its smallest trained time, as SD3's
    """
    if "FlowMatch" in str(config.get("_class_name", "")):
        return _flow_from_config(config, side, even)
    curve = discrete(
        N=int(config.get("num_train_timesteps", 1000)),
        beta_schedule=config.get("beta_schedule", "linear"),
        beta_start=float(config.get("beta_start", 0.0001)),
        beta_end=float(config.get("beta_end", 0.02)),
        trained_betas=config.get("trained_betas"),
        zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
    )
    spacing = Timesteps(
        spacing=config.get("timestep_spacing", "leading"),
        offset=int(config.get("steps_offset", 0)),
        final="clean" if config.get("set_alpha_to_one", True) else "first",
    )
    return curve, spacing


def _flow_from_config(config: Mapping[str, Any], side: int, even: bool) -> tuple[Curve, Spacing]:
    bent = ("invert_sigmas", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    for name in (*bent, "stochastic_sampling"):
        if config.get(name):
            raise ValueError(f"a flow's scheduler with {name}={config[name]} is not supported; only shifted times are")
    N, shift = int(config.get("num_train_timesteps", 1000)), float(config.get("shift", 1.0))
    if not config.get("use_dynamic_shifting", False):
        lowest = shift / N / (1 + (shift - 1) / N)  # diffusers shifts its already shifted smallest sigma again
        return Flow(N), Shifted(shift, None if even else lowest)
    spacing = ShiftedBySize(
        mu=(float(config.get("base_shift", 0.5)), float(config.get("max_shift", 1.15))),
        tokens=(int(config.get("base_image_seq_len", 256)), int(config.get("max_image_seq_len", 4096))),
        side=side,
        growth=config.get("time_shift_type", "exponential"),
        last=None if even else 1 / N,
    )
    return Flow(N), spacing


def final_node(curve: Curve, final: Final) -> Node:
    """The last node of a chain; a flow knows the clean one only."""
    if final == "clean" or not isinstance(curve, Discrete):
        return Node(1.0, 0.0, 0.0)
    return curve.node(0.0)
