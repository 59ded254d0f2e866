"""Predictions shared between trajectories that begin alike.

A network is a function: asked the same latent, node and guidance, it gives the same prediction. Cells that differ
only in lambda walk the same way until the smaller one stops reflecting, so the second walk can be answered from
the first. The latents themselves are compared, bit by bit; nothing is assumed about the samplers.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guided
from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node
from zz.diffusion.trajectory import Leg


class Asked(NamedTuple):
    """One question to the network, and its answer."""

    x: Tensor
    node: Node
    gamma: float
    leg: Leg
    prediction: Prediction


class Memory:
    """What one trajectory of a batch asked, in order: the trunk. Later ones follow it for as long as they ask the same.

    A trajectory that leaves the trunk at its first or second question becomes the new trunk, so that a sweep over
    gamma2 and lambda shares over lambda. Holds three latents for each prediction of one trajectory.

    rows: what one prediction costs at (gamma, node, leg), for the count of what was saved
    """

    def __init__(self, rows: Callable[[float, Node, Leg], int] = lambda gamma, node, leg: 0) -> None:
        self.predictions, self.rows = 0, 0  # answered from memory
        self._cost = rows
        self._trunk: list[Asked] = []

    def forget(self) -> None:
        """Let go of the trunk, and of the memory that it holds."""
        self._trunk.clear()

    def of(self, denoise: Guided) -> Guided:
        """The same network for one more trajectory: answered from the trunk, or remembered as the new one."""
        recording, following, position = False, True, 0

        def remembered(x: Tensor, node: Node, gamma: float, leg: Leg) -> Prediction:
            nonlocal recording, following, position
            if following:
                known = self._trunk[position] if position < len(self._trunk) else None
                same = known and (known.node, known.gamma, known.leg) == (node, gamma, leg)
                if known and same and torch.equal(known.x, x):
                    again = position > 0 and self._trunk[position - 1].x is known.x  # the other branch of one look
                    position += 1
                    self.predictions += not again
                    self.rows += self._cost(gamma, node, leg)
                    return known.prediction
                following = False  # once apart, apart for good
                if position <= 1:
                    recording = True
                    del self._trunk[position:]
            prediction = denoise(x, node, gamma, leg)
            if recording:
                self._trunk.append(Asked(x, node, gamma, leg, prediction))
            return prediction

        return remembered
