"""What one evaluation of each of the paper's networks takes, counted without weights: TFLOPs a picture and a branch.

Claim:   none of the paper's; `python -m zz.plan experiment=paper` turns network evaluations into GPU hours by it
Command: python -m zz.experiments.speed.flops
Cost:    ten seconds; the published architectures are built on the meta device, where nothing is computed

A multiplication and an addition are two. Convolutions, linear layers and attention are counted, nothing else; the text
encoders, which run once a prompt, are left out. What is printed is kept in experiments/costs.yaml.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from zz.models.pretrained.quiet import quiet

SD21 = {  # the published configurations, but for what moves no count
    "sample_size": 96,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "use_linear_projection": True,
}
SD15 = {**SD21, "sample_size": 64, "attention_head_dim": 8, "cross_attention_dim": 768, "use_linear_projection": False}
SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": (1, 2, 10),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
HUNYUAN_DIT = {  # 1.2
    "num_attention_heads": 16,
    "attention_head_dim": 88,
    "in_channels": 4,
    "patch_size": 2,
    "sample_size": 128,
    "hidden_size": 1408,
    "num_layers": 40,
    "mlp_ratio": 4.3637,
    "cross_attention_dim": 1024,
    "cross_attention_dim_t5": 2048,
    "pooled_projection_dim": 1024,
    "use_style_cond_and_image_meta_size": False,
}
MOTION_ADAPTER = {  # version 1.5-3
    "block_out_channels": (320, 640, 1280, 1280),
    "motion_layers_per_block": 2,
    "motion_num_attention_heads": 8,
    "motion_max_seq_length": 32,
    "use_motion_mid_block": False,
}
AUTOENCODER = {  # of all of them
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
FACTOR = 8  # pixels a side of one latent
TOKENS, T5_TOKENS = 77, 256


def _unet(config: dict[str, Any], side: int) -> int:
    network = _meta(lambda: diffusers.UNet2DConditionModel(**config))
    text = _empty(1, TOKENS, config["cross_attention_dim"])
    added = {"text_embeds": _empty(1, 1280), "time_ids": _empty(1, 6)} if "addition_embed_type" in config else None
    return counted(lambda: network(_empty(1, 4, side, side), _empty(), text, added_cond_kwargs=added))


def _hunyuan_dit(config: dict[str, Any], side: int) -> int:
    network = _meta(lambda: diffusers.HunyuanDiT2DModel(**config))
    grid, width = side // config["patch_size"], config["attention_head_dim"]
    told = {
        "encoder_hidden_states": _empty(1, TOKENS, config["cross_attention_dim"]),
        "text_embedding_mask": _empty(1, TOKENS),
        "encoder_hidden_states_t5": _empty(1, T5_TOKENS, config["cross_attention_dim_t5"]),
        "text_embedding_mask_t5": _empty(1, T5_TOKENS),
        "image_rotary_emb": (_empty(grid * grid, width), _empty(grid * grid, width)),
    }
    return counted(lambda: network(_empty(1, 4, side, side), _empty(1), **told))


def _clip(config: dict[str, Any], side: int, frames: int) -> int:
    def made() -> Any:
        adapter = diffusers.MotionAdapter(**MOTION_ADAPTER)
        return diffusers.UNetMotionModel.from_unet2d(diffusers.UNet2DConditionModel(**config), adapter)

    network, text = _meta(made), _empty(frames, TOKENS, config["cross_attention_dim"])
    return counted(lambda: network(_empty(1, 4, frames, side, side), _empty(), text))


@dataclass(frozen=True)
class Network:
    """One of the paper's networks, at the size of its pictures.

    count: the operations of one evaluation, by the side of the latents
    """

    count: Callable[[int], int]
    side: int
    frames: int = 1

    @property
    def evaluation(self) -> float:
        """TFLOPs of one branch, for one picture or clip."""
        return tera(self.count(self.side // FACTOR))

    @property
    def decoding(self) -> float:
        """TFLOPs of its autoencoder, for one picture or clip."""
        network, side = _meta(lambda: diffusers.AutoencoderKL(**AUTOENCODER)), self.side // FACTOR
        return tera(self.frames * counted(lambda: network.decode(_empty(1, 4, side, side))))


@cache
def _sdxl(side: int) -> int:
    return _unet(SDXL, side)


NETWORKS = {
    "sdxl": Network(_sdxl, 1024),
    "sdxl_fp16_vae": Network(_sdxl, 1024),
    "sdxl_dpo": Network(_sdxl, 1024),
    "dreamshaper": Network(_sdxl, 1024),
    "sdxl_turbo": Network(_sdxl, 512),
    "sd21": Network(lambda side: _unet(SD21, side), 768),
    "hunyuan_dit_12": Network(lambda side: _hunyuan_dit(HUNYUAN_DIT, side), 1024),
    "animatediff": Network(lambda side: _clip(SD15, side, 16), 512, 16),
}


def counted(call: Callable[[], Any]) -> int:
    """The operations of a call, a multiplication and an addition being two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def tera(operations: int) -> float:
    """In TFLOPs, to four digits after the point."""
    return round(operations / 1e12, 4)


def _meta(make: Callable[[], Any]) -> Any:
    with quiet(), torch.device("meta"):
        return make().eval()


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def main() -> None:
    """Count and print, as experiments/costs.yaml holds it."""
    for name, network in NETWORKS.items():
        frames = f", frames: {network.frames}" if network.frames > 1 else ""
        said = f"size: {network.side}{frames}, evaluation: {network.evaluation}, decoding: {network.decoding}"
        print(f"  {name}: {{ {said} }}")


if __name__ == "__main__":
    main()
