"""The walk that a sampler takes: latents moved between neighbouring nodes, one guided prediction a move."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Literal

from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.network import Branches, Guided, Predict
from zz.diffusion.noise import Noise
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.probes.step import Probe, Step
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.solvers.base import Past, Solver

Time = Literal["t", "s"]
NetworkTime = Literal["t", "s", "even"]
Inversion = Literal["exact", "ref_0_22"]
BOTH = (0.0, 1.0)  # the scales of a look


class Walk:
    """One trajectory. Each move asks for one guided prediction, tells the probe, and keeps the solver's history.

    denoise: the network with prompts and guidance bound; a plain function of (x, node, gamma, leg) will do
    """

    def __init__(self, denoise: Guided | Predict, nodes: Nodes, solver: Solver, noise: Noise, probe: Probe) -> None:
        self.denoise = Guided.of(denoise)
        self.nodes, self.solver, self.noise, self.probe = nodes, solver, noise, probe
        self.T = nodes.T
        self._past: dict[int, Past] = {}  # by step index: the last prediction made there on a way down
        self._visits: Counter[tuple[int, Leg]] = Counter()

    def again(self, noise: Noise) -> "Walk":
        """A new trajectory over the same nodes, with other noise."""
        return Walk(self.denoise, self.nodes, self.solver, noise, self.probe)

    def down(self, x: Tensor, i: int, gamma: Gamma, k: int = 1, leg: Leg = Leg.ZIG) -> Tensor:
        """From node i to the cleaner node i + k, one node at a time: the zig (Eq. 2)."""
        for j in range(i, i + k):
            prediction = self.denoise(x, self.nodes[j], gamma, leg)
            x = self.down_by(x, j, gamma, prediction, leg)
        return x

    def down_by(
        self,
        x: Tensor,
        i: int,
        gamma: Gamma,
        seen: Branches | Prediction,
        leg: Leg = Leg.ZIG,
        asked: tuple[float, ...] = (),
    ) -> Tensor:
        """From node i to node i + 1 with what is known of x there already: a prediction, or a look at both branches.

        asked: the scales that the network was asked at, where not gamma itself
        """
        t, s = self.nodes[i], self.nodes[i + 1]
        prediction = seen.at(gamma) if isinstance(seen, Branches) else seen
        past = self._past.get(i - 1) if i + 1 < self.T else None  # multistep solvers end in first order
        z = self.fresh(i, Leg.ZIG, x)
        y = self.solver.down(prediction, t, s, past, z)
        if self.solver.uses_past:
            self._past[i] = Past(t, prediction, z)
        asked = BOTH if isinstance(seen, Branches) else asked
        self.probe(Step(i, leg, x, y, t, s, gamma, prediction, self.denoise, asked))
        return y

    def up(
        self,
        x: Tensor,
        i: int,
        gamma: Gamma,
        k: int = 1,
        network_time: NetworkTime = "t",
        v_at: Time = "t",
        inversion: Inversion = "exact",
    ) -> Tensor:
        """From node i + k back to the noisier node i, one node at a time: the zag (Eq. 4).

        network_time: the time that the network is given: of the noisier node (t), of the cleaner one (s), or `even`,
                      t - N // T, which is no node's time unless nodes are N // T apart
        v_at:         the level at which a v-prediction is read
        inversion:    ref_0_22 moves by the coefficients of the step below, as the official code does
        """
        shift = 1 if inversion == "ref_0_22" else 0
        for j in reversed(range(i, i + k)):
            t, s = self.nodes[j], self.nodes[j + 1]
            source, target = self.nodes[j + 1 + shift], self.nodes[j + shift]
            source = source.with_time(self._time_of(t, s, network_time), v_at=t if v_at == "t" else None)
            prediction = self.denoise(x, source, gamma, Leg.ZAG)
            y = self.solver.up(prediction, source, target, self._past.get(j), self.fresh(j, Leg.ZAG, x))
            self.probe(Step(j, Leg.ZAG, x, y, source, target, gamma, prediction, self.denoise))
            x = y
        return x

    def leap(self, x: Tensor, i: int, j: int, gamma: Gamma, told: int | None = None, v_at: Time = "s") -> Tensor:
        """From node i straight to node j, cleaner or noisier, by one prediction; no solver remembers it.

        told: the node whose time the network is given; None: i
        v_at: the level at which a v-prediction is read: where it goes (t), or where it lies (s)
        """
        source, target = self.nodes[i], self.nodes[j]
        if told is not None:
            source = source.with_time(self.nodes[told].time, v_at=target if v_at == "t" else None)
        leg, step = (Leg.ZIG, i) if j > i else (Leg.ZAG, j)
        prediction = self.denoise(x, source, gamma, leg)
        move = self.solver.down if j > i else self.solver.up
        y = move(prediction, source, target, None, self.fresh(step, leg, x))
        self.probe(Step(step, leg, x, y, source, target, gamma, prediction, self.denoise))
        return y

    def look(self, x: Tensor, i: int) -> Branches:
        """Both branches at node i in one pass: one prediction, for the move that it is then used for."""
        return self.denoise.look(x, self.nodes[i], Leg.ZIG)

    def stay(self, x: Tensor, y: Tensor, i: int, gamma: Gamma, seen: Branches | Prediction) -> Tensor:
        """At node i the latent becomes y, by a prediction or a look, which the probe receives."""
        t = self.nodes[i]
        prediction = seen.at(gamma) if isinstance(seen, Branches) else seen
        asked = BOTH if isinstance(seen, Branches) else ()
        self.probe(Step(i, Leg.STAY, x, y, t, t, gamma, prediction, self.denoise, asked))
        return y

    def past(self, i: int) -> Past | None:
        """The last prediction made at node i on a way down, where the solver keeps any."""
        return self._past.get(i)

    def renoise(self, x: Tensor, i: int) -> Tensor:
        """From node i + 1 back to node i by fresh noise: q(x_t | x_s), with the ratio of the sampled grid."""
        t, s = self.nodes[i], self.nodes[i + 1]
        a = t.alpha / s.alpha
        return a * x + math.sqrt(t.sigma**2 - (a * s.sigma) ** 2) * self.fresh(i, Leg.RENOISE, x)()

    def fresh(self, i: int, leg: Leg, x: Tensor) -> Callable[[], Tensor]:
        """Fresh noise for the next move on this leg of step i: its round counts the moves made there so far."""
        round = self._visits[i, leg]
        self._visits[i, leg] += 1
        return lambda: self.noise(i, leg, round).to(x)

    def _time_of(self, t: Node, s: Node, network_time: NetworkTime) -> float:
        if network_time == "even":
            return t.time - self.nodes.levels.N // self.T
        return (t if network_time == "t" else s).time
