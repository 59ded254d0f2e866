"""Nodes: the T + 1 noise levels that a sampler visits, noisy to clean.

Every diffusion or flow model here is `x_t = alpha_t * x_0 + sigma_t * eps`. Numbers are Python floats
(float64); they know neither tensors nor the network's training.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, Optional, Protocol


class Node(NamedTuple):
    """One noise level: where a latent lies, and the time that the network is given there."""

    alpha: float  # scale of the clean latent, in [0, 1]
    sigma: float  # scale of the noise, in [0, 1]
    time: float  # what the network is given: a training timestep, fractions allowed
    v_at: Optional["Node"] = None  # the level at which a v-prediction is read; None: this one

    @property
    def r(self) -> float:
        """sigma / alpha, the noise-to-signal ratio; infinite where alpha is 0."""
        return self.sigma / self.alpha if self.alpha > 0 else math.inf

    def with_time(self, time: float, v_at: Optional["Node"] = None) -> "Node":
        """The same noise level, with another time given to the network."""
        return Node(self.alpha, self.sigma, time, v_at)


class Trained(Protocol):
    """What is asked of the levels that nodes were picked from."""

    @property
    def N(self) -> int: ...

    @property
    def noisiest(self) -> Node: ...


class Nodes(tuple[Node, ...]):
    """Nodes 0..T, node 0 the noisiest and node T the cleanest. Refuses to run backwards.

    levels: the training levels that they were picked from; some samplers ask for them
    """

    _levels: Trained | None

    def __new__(cls, nodes: Iterable[Node], levels: Trained | None = None) -> "Nodes":
        made = super().__new__(cls, nodes)
        made._levels = levels
        if len(made) < 2:
            raise ValueError(f"a schedule has at least one step (two nodes), got {len(made)} nodes")
        for t, s in pairwise(made):
            if not s.r < t.r:
                raise ValueError(
                    f"a schedule runs from noisy to clean, but sigma/alpha goes from {t.r:.6g} (time {t.time:g}) "
                    f"to {s.r:.6g} (time {s.time:g}); lower steps, or choose another schedule"
                )
        return made

    @property
    def levels(self) -> Trained:
        """The training levels. Raises ValueError where the schedule did not give them."""
        if self._levels is None:
            raise ValueError(
                "this schedule's nodes know no levels; its nodes(levels, T) must end in Nodes(..., levels)"
            )
        return self._levels

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self) - 1

    def step(self, node: Node, up: bool = False) -> int:
        """The step that a move from this noise level down, or up, belongs to. Raises ValueError if it is none of them.

        The time that the network is told there does not matter.
        """
        for i, one in enumerate(self):
            if (one.alpha, one.sigma) == (node.alpha, node.sigma):
                return max(i - 1, 0) if up else min(i, self.T - 1)
        raise ValueError(f"no node of these {self.T} steps lies at alpha={node.alpha:g}, sigma={node.sigma:g}")
