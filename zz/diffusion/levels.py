"""The noise levels that a network was trained on: from a time to a level, and back.

A discrete network knows N levels; between them log(sigma / alpha) is interpolated, so that fractional
times mean one and the same level to every sampler. Tables are float64.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from zz.diffusion.schedule import Node
from zz.diffusion.validate import check_count, check_number


class Levels(ABC):
    """A network's training levels."""

    N: int  # the number of training timesteps; times run from 0 to N - 1 (discrete) or N (flow)

    @abstractmethod
    def node(self, time: float) -> Node:
        """The level that the network takes `time` for."""

    @property
    def noisiest(self) -> Node:
        """The last level that it was trained on."""
        return self.node(self.N - 1)

    @abstractmethod
    def time(self, r: float) -> float:
        """The time at which sigma / alpha is `r`: the inverse of `node`."""

    @abstractmethod
    def level(self, r: float) -> Node:
        """The level at which sigma / alpha is `r`, finite, and the time that the network is given there."""


@dataclass(frozen=True)
class Discrete(Levels):
    """N variance-preserving levels, alpha_t^2 + sigma_t^2 = 1, alpha_t^2 = `abar[t]` (Ho et al. 2020)."""

    abar: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(not b < a for a, b in zip(self.abar, self.abar[1:], strict=False)):
            raise ValueError("abar must fall strictly with the timestep")
        object.__setattr__(self, "N", len(self.abar))
        object.__setattr__(self, "_log_r", [_log_r(a) for a in self.abar])

    def node(self, time: float) -> Node:
        if not 0 <= time <= self.N - 1:
            raise ValueError(f"time {time:g} lies outside the network's 0..{self.N - 1}; choose fewer steps")
        i = min(int(time), self.N - 2)
        w = time - i
        if w == 0.0 or w == 1.0:
            abar = self.abar[i + int(w)]
            return Node(math.sqrt(abar), math.sqrt(1 - abar), float(time))
        a, b = self._log_r[i], self._log_r[i + 1]  # type: ignore[attr-defined]
        if math.isinf(b):  # zero terminal SNR: the last gap has no finite log; use the angle
            angle = (1 - w) * math.atan(math.exp(a)) + w * math.pi / 2
            return Node(math.cos(angle), math.sin(angle), float(time))
        r = math.exp(a + w * (b - a))
        return Node(1 / math.hypot(1, r), r / math.hypot(1, r), float(time))

    def time(self, r: float) -> float:
        log_r: list[float] = self._log_r  # type: ignore[attr-defined]
        x = math.log(r) if r > 0 else -math.inf
        if not log_r[0] - 1e-12 <= x <= log_r[-1] + 1e-12:
            raise ValueError(
                f"sigma/alpha = {r:.6g} lies outside the network's {math.exp(log_r[0]):.6g}..{math.exp(log_r[-1]):.6g}"
            )
        i = min(max(bisect_right(log_r, x) - 1, 0), self.N - 2)
        a, b = log_r[i], log_r[i + 1]
        if math.isinf(b):
            w = (math.atan(r) - math.atan(math.exp(a))) / (math.pi / 2 - math.atan(math.exp(a)))
        else:
            w = (x - a) / (b - a)
        return i + min(max(w, 0.0), 1.0)

    def level(self, r: float) -> Node:
        return Node(1 / math.hypot(1, r), r / math.hypot(1, r), self.time(r))


@dataclass(frozen=True)
class Flow(Levels):
    """Rectified flow, alpha = 1 - t and sigma = t, timed N * t (Liu et al. 2023; Esser et al. 2024)."""

    N: int = 1000

    def node(self, time: float) -> Node:
        if not 0 <= time <= self.N:
            raise ValueError(f"time {time:g} lies outside the flow's 0..{self.N}")
        return Node(1 - time / self.N, time / self.N, float(time))

    @property
    def noisiest(self) -> Node:
        return self.node(self.N)

    def time(self, r: float) -> float:
        return float(self.N) if math.isinf(r) else self.N * r / (1 + r)

    def level(self, r: float) -> Node:
        return Node(1 / (1 + r), r / (1 + r), self.time(r))


def discrete(
    N: int = 1000,
    beta_schedule: str = "scaled_linear",
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    trained_betas: Sequence[float] | None = None,
    zero_terminal_snr: bool = False,
) -> Discrete:
    """The levels of a diffusers scheduler config, in float64.

    Raises ValueError on a `beta_schedule` that is not linear, scaled_linear, squaredcos_cap_v2 or sigmoid.
    """
    check_count("model.levels.N", N, 2)
    check_number("model.levels.beta_start", beta_start, 0, 1)
    check_number("model.levels.beta_end", beta_end, beta_start, 1)
    if trained_betas is not None:
        betas = [float(b) for b in trained_betas]
    elif beta_schedule == "linear":
        betas = _linspace(beta_start, beta_end, N)
    elif beta_schedule == "scaled_linear":
        betas = [b * b for b in _linspace(math.sqrt(beta_start), math.sqrt(beta_end), N)]
    elif beta_schedule == "squaredcos_cap_v2":  # Nichol & Dhariwal 2021
        betas = [min(1 - _cosine((i + 1) / N) / _cosine(i / N), 0.999) for i in range(N)]
    elif beta_schedule == "sigmoid":
        betas = [(beta_end - beta_start) / (1 + math.exp(-x)) + beta_start for x in _linspace(-6, 6, N)]
    else:
        raise ValueError(
            f"beta_schedule={beta_schedule!r} is not known; known are linear, scaled_linear, squaredcos_cap_v2, sigmoid"
        )
    abar, a = [], 1.0
    for beta in betas:
        a *= 1 - beta
        abar.append(a)
    if zero_terminal_snr:  # Lin et al. 2024, Algorithm 1
        first, last = math.sqrt(abar[0]), math.sqrt(abar[-1])
        abar = [((math.sqrt(a) - last) * first / (first - last)) ** 2 for a in abar]
    return Discrete(tuple(abar))


def _cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _linspace(a: float, b: float, n: int) -> list[float]:
    return [a + (b - a) * i / (n - 1) for i in range(n)]


def _log_r(abar: float) -> float:
    return 0.5 * math.log((1 - abar) / abar) if abar > 0 else math.inf
