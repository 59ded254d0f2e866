"""Foresight guidance (Wang et al. 2025, arXiv:2510.21512): a fixed point of there and back over an interval of nodes.

At step i of a plan {i: (L, K)} the latent goes, K times, from node i to node i + L under gamma1 and back under gamma2,
in one move each; then comes a step of CFG++ at `scale`, u and c seen once:

    x <- up(down(x, i -> i + L, gamma1), i + L -> i, gamma2),   then   x0 of u + scale (c - u), noised with u's eps

Zigzag is the member with L = 1 in every planned step and a step of classifier-free guidance at the end (`final=cfg`).
L = -1 looks back instead, to the noisier node above.

As their code runs (commit 012398f) the interval is not walked: diffusers' DDIM moves by one step of the sampling grid,
whatever timesteps it is handed. `interval=as_run` is what it does then: one step down, from where the way back is read
off as if at node i + L + 1, and lands at node i + L, which is taken for node i.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.network import Branches
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Time, Walk
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.validate import READING, Proportion

Entry = tuple[int, int, int]  # step, interval L, rounds K

NFE_50: tuple[Entry, ...] = ((0, 5, 2), (5, 5, 2), (15, 5, 1))  # of 40 steps
NFE_100: tuple[Entry, ...] = (  # of 50 steps
    *((i, 3, 2 if i in (0, 4, 10) else 1) for i in range(0, 17, 2)),
    *((i, 2, 1) for i in range(18, 33, 2)),
    *((i, 1, 1) for i in (34, 37, 40, 43, 46)),
)
NFE_150 = (*NFE_100, *((i, -1, 1) for i in range(1, 50, 2)))  # scale=0.7; 37 and 43 come twice, so that it takes 146
PLANS = {"nfe_50": (NFE_50, 40), "nfe_100": (NFE_100, 50), "nfe_150": (NFE_150, 50)}  # with the steps that they are of


@dataclass(frozen=True)
class FSG(Sampler):
    """The plans are the authors', for so many predictions: nfe_50 of 40 steps, nfe_100 and nfe_150 of 50.

    Over other steps they are stretched: step and L in proportion, to the nearest node, L at least 1.

    gamma1:       guidance of the way there, and of the step with final=cfg
    gamma2:       guidance of the way back
    scale:        of the CFG++ step, 0 to 1
    plan:         [[step, L, K], ...], or the name of one of PLANS; of two entries of a step the later counts
    final:        the step that follows: cfgpp or cfg
    network_time: the time that the network is given on the way back: of the node that it comes from (s), or goes to (t)
    v_at:         the level at which a v-prediction is read there, likewise
    interval:     walked, as the formula says; as_run, as their code runs
    """

    name: ClassVar[str] = "fsg"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    scale: Proportion = 1.0
    plan: Any = "nfe_50"
    final: Literal["cfgpp", "cfg"] = "cfgpp"
    network_time: Literal["t", "s"] = "s"
    v_at: Time = "s"
    interval: Literal["walked", "as_run"] = field(default="walked", metadata=READING)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.plan, str):
            object.__setattr__(self, "plan", _entries(self.plan))
        elif self.plan not in PLANS:
            known = f"known are {', '.join(PLANS)}, or a list of [step, L, K]"
            raise ValueError(f"sampler.plan={self.plan} is not known; {known}")

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        plan = self._planned(walk.T)
        for i in range(walk.T):
            L, K = plan.get(i, (1, 0))
            for _ in range(K):
                x = self._there_and_back(walk, x, i, L)
            x = walk.down(x, i, self.gamma1) if self.final == "cfg" else cfgpp(walk, x, i, self.scale)
        return x

    def _there_and_back(self, walk: Walk, x: Tensor, i: int, L: int) -> Tensor:
        if self.interval == "as_run":
            y = walk.down(x, i, self.gamma1)
            return walk.leap(y, i + L + 1, i + L, self.gamma2, self._told(i + L, i + L + 1), self.v_at)
        if L == 1:
            return walk.up(walk.down(x, i, self.gamma1), i, self.gamma2, 1, self.network_time, self.v_at)
        y = walk.leap(x, i, i + L, self.gamma1)
        return walk.leap(y, i + L, i, self.gamma2, self._told(i + L, i), self.v_at)

    def _told(self, source: int, target: int) -> int:
        """The node whose time the network is given on the way back."""
        return source if self.network_time == "s" else target

    def _planned(self, T: int) -> dict[int, tuple[int, int]]:
        """By step. Raises ValueError where the plan leaves the nodes."""
        below = 1 if self.interval == "as_run" else 0
        entries = _stretched(*PLANS[self.plan], T, T - below) if isinstance(self.plan, str) else self.plan
        found = {i: (L, K) for i, L, K in entries}
        for i, (L, _) in found.items():
            if i >= T or not 0 <= i + L <= T - below:
                raise ValueError(
                    f"sampler.plan: from step {i} over L={L} leaves the nodes 0..{T - below} of steps={T}; "
                    "raise steps, or shorten the plan"
                )
        return found

    def nfe(self, T: int) -> int:
        return T + 2 * sum(K for _, K in self._planned(T).values())

    def resolve(self, T: int) -> Sampler:
        """Zigzag where it is one, standard sampling where nothing is planned."""
        plan = {i: entry for i, entry in self._planned(T).items() if entry[1]}
        if self.final == "cfg" and self.interval == "walked":
            rounds = {K for _, K in plan.values()}
            if not plan:
                return Standard(self.gamma1)
            if sorted(plan) == list(range(len(plan))) and {L for L, _ in plan.values()} == {1} and len(rounds) == 1:
                fields = {"rounds": rounds.pop(), "network_time": self.network_time, "v_at": self.v_at}
                return Zigzag(self.gamma1, self.gamma2, len(plan), **fields).resolve(T)  # type: ignore[arg-type]
        return replace(self, plan=tuple((i, *plan[i]) for i in sorted(plan)))

    def check(self, guidance: Guidance) -> None:
        super().check(guidance)
        if self.final == "cfgpp":
            check_cfgpp(self, guidance)


def cfgpp(walk: Walk, x: Tensor, i: int, scale: float) -> Tensor:
    """A step of CFG++ from node i, u and c seen once."""
    return walk.down_by(x, i, scale, _Renoised(*walk.look(x, i)))


def check_cfgpp(sampler: Sampler, guidance: Guidance) -> None:
    """Raise ValueError on a guidance whose steps are not of the network's own branches."""
    if not guidance.plain:
        raise ValueError(
            f"sampler={sampler.name} ends its steps by CFG++ of the network's own branches, not under guidance="
            f"{type(guidance).__name__}; choose guidance=cfg guidance.rescale=0, or sampler.final=cfg"
        )


class _Renoised(Branches):
    """Branches from which CFG++ reads a prediction: guided x0, unconditional noise."""

    def at(self, gamma: Gamma) -> Prediction:
        return Prediction(self.u.lerp(self.c, gamma).x0, self.u.eps)


def _stretched(plan: tuple[Entry, ...], steps: int, T: int, last: int) -> tuple[Entry, ...]:
    """A plan of so many steps over T of them, as far as it fits above node `last`."""
    scaled = ((round(i * T / steps), L if L < 0 else max(1, round(L * T / steps)), K) for i, L, K in plan)
    fitting = ((i, min(L, last - i), K) for i, L, K in scaled)
    return tuple((i, L, K) for i, L, K in fitting if i < T and L and 0 <= i + L <= last)


def _entries(plan: Any) -> tuple[Entry, ...]:
    """A plan as it is kept: the later of two entries of a step, in the order of steps."""
    wrong = ValueError(
        f"sampler.plan={plan!r} must be a list of [step, L, K]: whole numbers, L 1 or more or -1, K 0 or more"
    )
    if not isinstance(plan, Sequence):
        raise wrong
    found: dict[int, Entry] = {}
    for entry in plan:
        if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) != 3:
            raise wrong
        i, L, K = entry
        if any(not isinstance(n, int) or isinstance(n, bool) for n in entry) or i < 0 or K < 0 or (L < 1 and L != -1):
            raise wrong
        found[i] = (i, L, K)
    return tuple(found[i] for i in sorted(found))


__all__ = ["FSG", "PLANS", "cfgpp", "check_cfgpp"]
