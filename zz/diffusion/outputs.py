"""What a prediction is as an output of a network: guidances that are not linear depend on which they are made of."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from zz.diffusion.prediction import Prediction, from_eps, from_v, from_x0
from zz.diffusion.schedule import Node

NO_SIGNAL = 1e-3  # below this alpha, which divides the noise, rounding is all that is left of a picture
Output = Literal["eps", "x0", "v", "velocity"]


def output(prediction: Prediction, node: Node, kind: Output) -> Tensor:
    """The noise, the clean latent, v = alpha * eps - sigma * x0, or the velocity eps - x0 of rectified flows."""
    if kind == "eps":
        return prediction.eps
    if kind == "x0":
        return prediction.x0
    if kind == "v":
        return node.alpha * prediction.eps - node.sigma * prediction.x0
    return prediction.eps - prediction.x0


def from_output(x: Tensor, node: Node, value: Tensor, kind: Output) -> Prediction:
    """Back: the prediction at latent x whose output that is."""
    if kind == "eps":
        return from_eps(x, node, value)
    if kind == "x0":
        return from_x0(x, node, value)
    if kind == "v":
        return from_v(x, node._replace(v_at=None), value)
    whole = node.alpha + node.sigma  # 1 on a flow
    return Prediction((x - node.sigma * value) / whole, (x + node.alpha * value) / whole)


def check_output(kind: Output, nodes: Sequence[Node]) -> None:
    """Raise ValueError on nodes at which an output of that kind leads to no prediction."""
    if kind == "eps" and any(node.alpha < NO_SIGNAL for node in nodes):
        raise ValueError(
            "guidance.output=eps leads to no picture where there is no signal, as a flow begins; choose "
            "guidance.output=velocity"
        )


__all__ = ["Output", "check_output", "from_output", "output"]
