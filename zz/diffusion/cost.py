"""What one image costs, counted by a dry run."""

from typing import NamedTuple

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.network import Branches, Guided
from zz.diffusion.prediction import Prediction
from zz.diffusion.probes.meter import Meter
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.solvers.ddim import DDIM


class Cost(NamedTuple):
    """What one image costs."""

    predictions: int  # guided predictions
    evals: int  # network evaluations


class _Zero(Prediction):
    """Dummy prediction for counting calls."""

    def at(self, node: Node) -> Tensor:
        return self.x0


def cost(sampler: Sampler, guidance: Guidance, nodes: Nodes) -> Cost:
    """Guided predictions and network evaluations, counted by a dry run with a network that returns zeros."""
    zero, meter = torch.zeros(1, 1, 1, 1), Meter(guidance.for_nodes(nodes).evals)
    nothing = _Zero(zero, zero)
    guided = Guided(lambda x, node, gamma, leg: nothing, lambda x, node, leg: Branches(nothing, nothing))
    sampler.sample(guided, zero, nodes, DDIM(), lambda step, leg, round: zero, meter)
    return Cost(meter.predictions, meter.evals)
