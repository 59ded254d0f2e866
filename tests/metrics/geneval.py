"""A tiny random Mask2Former, and what GenEval is asked of it."""

import numpy as np
import torch
from PIL import Image

from zz.scorers.geneval.colours import ClipColours

COLOUR_JUDGE = ClipColours("zz:shapes_clip")
DOG = {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}


def tiny_config(**more):
    from transformers import Mask2FormerConfig, SwinConfig

    stages = [f"stage{n}" for n in range(1, 5)]
    swin = SwinConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2], window_size=7, out_features=stages)
    sizes = {"hidden_dim": 32, "mask_feature_size": 32, "feature_size": 32, "num_queries": 12, "num_labels": 80}
    sizes |= {"encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 2}
    return Mask2FormerConfig(
        backbone_config=swin, **(sizes | {"dim_feedforward": 16, "encoder_feedforward_dim": 24} | more)
    )


def tiny_network(**more):
    from transformers import Mask2FormerForUniversalSegmentation

    torch.manual_seed(0)
    network = Mask2FormerForUniversalSegmentation(tiny_config(**more)).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network


def picture(seed=0, size=(64, 48)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
