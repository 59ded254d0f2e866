"""Predictions shared between trajectories that begin alike.

A network is a function: asked the same latent, node and guidance, it gives the same prediction. Cells that differ
only in lambda walk the same way until the smaller one stops reflecting, so the second walk can be answered from
the first. The latents themselves are compared, bit by bit; nothing is assumed about the samplers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.network import Branches, Guided, Predict
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.probes.meter import Evals
from zz.diffusion.schedule import Node


class Call(NamedTuple):
    """One call of the network, and its answer."""

    x: Tensor
    node: Node
    gammas: tuple[Gamma, ...]  # one scale, or the two of a look
    leg: Leg
    answer: Prediction | Branches

    def same(self, x: Tensor, node: Node, gammas: tuple[Gamma, ...], leg: Leg) -> bool:
        """Whether this call asked just that; tensors are compared by value."""
        if (self.node, self.leg, len(self.gammas)) != (node, leg, len(gammas)):
            return False
        return all(map(_equal, self.gammas, gammas)) and torch.equal(self.x, x)


class PrefixCache:
    """Prefix cache of network calls: the first trajectory is recorded; later ones are answered from it until their
    first differing call.

    A trajectory that differs at its first or second call becomes the recorded one, so that a sweep over gamma2 and
    lambda shares over lambda. Holds three latents for each prediction of one trajectory.

    evals: what one prediction takes at (gamma, node, leg), for the count of what was saved
    """

    def __init__(self, evals: Evals = lambda gamma, node, leg: 0) -> None:
        self.predictions, self.evals = 0, 0  # answered from the cache
        self._evals = evals
        self._prefix: list[Call] = []

    def forget(self) -> None:
        """Let go of what is recorded, and of the memory that it holds."""
        self._prefix.clear()

    def of(self, network: Guided | Predict) -> Guided:
        """The same network for one more trajectory: answered from the cache, or recorded anew."""
        denoise, recording, following, position = Guided.of(network), False, True, 0

        def answer(
            x: Tensor, node: Node, gammas: tuple[Gamma, ...], leg: Leg, ask: Callable[[], Prediction | Branches]
        ) -> Any:
            nonlocal recording, following, position
            if following:
                if position < len(self._prefix) and self._prefix[position].same(x, node, gammas, leg):
                    position += 1
                    self.predictions += 1
                    self.evals += sum(self._evals(gamma, node, leg) for gamma in gammas)
                    return self._prefix[position - 1].answer
                following = False  # once apart, apart for good
                if position <= 1:
                    recording = True
                    del self._prefix[position:]
            found = ask()
            if recording:
                self._prefix.append(Call(x, node, gammas, leg, found))
            return found

        return Guided(
            lambda x, node, gamma, leg: cast(
                Prediction, answer(x, node, (gamma,), leg, lambda: denoise(x, node, gamma, leg))
            ),
            lambda x, node, leg: cast(Branches, answer(x, node, (0.0, 1.0), leg, lambda: denoise.look(x, node, leg))),
        )


def _equal(a: Gamma, b: Gamma) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)
    return a == b
