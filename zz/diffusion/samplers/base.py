"""What every sampler is, and the walk that it takes: latents moved between neighbouring nodes."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor

from zz.diffusion.guidance.base import Branches, Guided
from zz.diffusion.noise import Noise
from zz.diffusion.prediction import from_eps
from zz.diffusion.schedule import Schedule
from zz.diffusion.solvers.base import Past, Solver
from zz.diffusion.trajectory import Leg, Probe, Step, silent

Time = Literal["t", "s"]
BOTH = (0.0, 1.0)  # the scales of a look


class Sampler(ABC):
    """A way down a schedule. Frozen; without weights, prompts or a device."""

    gamma1: float  # guidance of its steps down, and of the standard sampling that it is compared with
    version: ClassVar[int]  # raised when a fix moves numbers
    inverts: ClassVar[bool]  # whether it ever calls Walk.up; if not, its cell does not depend on the solver's `up`
    linear: ClassVar[bool] = False  # whether it needs a guidance that is linear in gamma

    @property
    def legs(self) -> frozenset[Leg]:
        """The legs on which it asks the network."""
        return frozenset((Leg.ZIG, Leg.ZAG) if self.inverts else (Leg.ZIG,))

    @abstractmethod
    def sample(
        self, denoise: Guided, x_T: Tensor, schedule: Schedule, solver: Solver, noise: Noise, probe: Probe = silent
    ) -> Tensor:
        """Carry `x_T` (B, C, H, W) or (B, C, F, H, W) from node 0 to node T; return x_0, same shape and dtype."""

    @property
    def matched(self) -> "Sampler | None":
        """Standard sampling at the guidance that this sampler amounts to, to first order; None where none is known."""
        return None

    @abstractmethod
    def nfe(self, T: int) -> int:
        """Guided predictions an image over T steps. Raises ValueError where T steps do not fit the fields."""

    @abstractmethod
    def resolve(self, T: int) -> "Sampler":
        """The simplest sampler equal to this one over T steps, every default filled in: what a cell is keyed by."""


class Walk:
    """One trajectory. Each move asks for one guided prediction, tells the probe, and keeps the solver's history."""

    def __init__(self, denoise: Guided, schedule: Schedule, solver: Solver, noise: Noise, probe: Probe) -> None:
        self.denoise, self.nodes, self.solver, self.noise, self.probe = denoise, schedule.nodes, solver, noise, probe
        self.T = schedule.T
        self._past: dict[int, Past] = {}  # by step index: the last prediction made there on a way down
        self._visits: Counter[tuple[int, Leg]] = Counter()

    def look(self, x: Tensor, i: int) -> Branches:
        """Both branches at node i: one prediction, for the move that it is then told with."""
        t = self.nodes[i]
        return Branches(self.denoise(x, t, 0.0, Leg.ZIG), self.denoise(x, t, 1.0, Leg.ZIG))

    def down(self, x: Tensor, i: int, gamma: float, seen: Branches | None = None, leg: Leg = Leg.ZIG) -> Tensor:
        """From node i to the cleaner node i + 1: the zig. With `seen`, a look at x there, it asks for nothing more."""
        t, s = self.nodes[i], self.nodes[i + 1]
        prediction = self.denoise(x, t, gamma, leg) if seen is None else seen.at(gamma)
        past = self._past.get(i - 1) if i + 1 < self.T else None  # multistep solvers end in first order
        z = self._z(i, Leg.ZIG, x)
        y = self.solver.down(prediction, t, s, past, z)
        if self.solver.uses_past:
            self._past[i] = Past(t, prediction, z)
        self.probe(Step(i, leg, x, y, t, s, gamma, prediction, self.denoise, BOTH if seen else ()))
        return y

    def reflect(self, x: Tensor, i: int, gamma1: float, gamma2: float, seen: Branches, fresh: bool = True) -> Tensor:
        """There and back in closed form: at node i, by what the prompt adds to eps (implicit_zigzag.py).

        fresh: whether `seen` is a look at this very latent, which the probe is then told of
        """
        t, s = self.nodes[i], self.nodes[i + 1]
        y = x - (t.sigma - t.alpha * s.r) * (gamma1 - gamma2) * seen.gap
        if fresh:
            self.probe(Step(i, Leg.STAY, x, y, t, t, gamma1, seen.at(gamma1), self.denoise, BOTH))
        return y

    def up(self, x: Tensor, i: int, gamma: float, network_time: Time = "t", v_at: Time = "t", shift: int = 0) -> Tensor:
        """From node i + 1 back to the noisier node i: the zag (Eq. 4).

        network_time: whether the network is told the time of node i (t) or of node i + 1 (s)
        v_at:         the level at which a v-prediction is read
        shift:        1 moves by the coefficients of the step below, which is the official code's inversion
        """
        t, s = self.nodes[i], self.nodes[i + 1]
        source, target = self.nodes[i + 1 + shift], self.nodes[i + shift]
        source = source.told((t if network_time == "t" else s).time, v_at=t if v_at == "t" else None)
        prediction = self.denoise(x, source, gamma, Leg.ZAG)
        y = self.solver.up(prediction, source, target, self._past.get(i), self._z(i, Leg.ZAG, x))
        self.probe(Step(i, Leg.ZAG, x, y, source, target, gamma, prediction, self.denoise))
        return y

    def settle(self, x: Tensor, y: Tensor, i: int, gamma: float) -> Tensor:
        """`y` of node i + 1 inverted once more, with eps from `x` of node i, where it landed before."""
        t, s = self.nodes[i], self.nodes[i + 1]
        eps = self.denoise(x, t, gamma, Leg.ZAG).eps
        prediction = from_eps(y, s, eps)
        again = self.solver.up(prediction, s, t, self._past.get(i), self._z(i, Leg.ZAG, x))
        self.probe(Step(i, Leg.STAY, x, again, t, t, gamma, prediction, self.denoise))
        return again

    def renoise(self, x: Tensor, i: int) -> Tensor:
        """From node i + 1 back to node i by fresh noise: q(x_t | x_s), with the ratio of the sampled grid."""
        t, s = self.nodes[i], self.nodes[i + 1]
        a = t.alpha / s.alpha
        return a * x + math.sqrt(t.sigma**2 - (a * s.sigma) ** 2) * self._z(i, Leg.RENOISE, x)()

    def _z(self, i: int, leg: Leg, x: Tensor) -> Callable[[], Tensor]:
        """Fresh noise for the next move on this leg of step i: its round counts the moves made there so far."""
        round = self._visits[i, leg]
        self._visits[i, leg] += 1
        return lambda: self.noise(i, leg, round).to(x)


def check_reflections(lambda_: int | None, k: int, T: int, most: int, why: str) -> int:
    """lambda with its default T - k filled in. Raises ValueError unless reflections of k nodes fit into T steps."""
    if k > T:
        raise ValueError(f"k={k} nodes back do not fit into steps={T}; lower k or raise steps")
    lambda_ = T - k if lambda_ is None else lambda_
    if lambda_ > most:
        raise ValueError(
            f"lambda={lambda_} is too many: at steps={T} and k={k} {why} allows 0..{most}; lower lambda or raise steps"
        )
    return lambda_
