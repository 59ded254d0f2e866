"""The five linear layers, with no activation between, that the LAION aesthetic predictor and ImageReward end in."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

WIDTH = 768  # of the features that both read


def layers(width: int = WIDTH) -> nn.Sequential:
    """Features to a number; at inference dropout does nothing.  # (B, width) -> (B, 1)"""
    return nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    )


def skeleton(width: int = WIDTH) -> dict[str, Tensor]:
    """Its state, without memory: on the meta device."""
    with torch.device("meta"):
        return dict(layers(width).state_dict())


def filled(state: Mapping[str, Tensor], device: str, width: int = WIDTH) -> nn.Sequential:
    """With these weights, in float32, for inference."""
    made = layers(width)
    made.load_state_dict(dict(state), strict=True)
    return made.to(device).float().eval()
