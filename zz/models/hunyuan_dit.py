"""Hunyuan-DiT 1.1 and 1.2 (Li et al., 2024, arXiv:2405.08748), loaded by diffusers from a folder or a hub id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from zz.models.attention.reading import TextAttention
from zz.models.pretrained.description import two_sides
from zz.models.pretrained.pipeline import LatentPipeline
from zz.models.pretrained.starting import GoldenStart
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

TOKENS = 77, 256  # that CLIP and T5 read of a text
ORIGINAL = 1024, 1024  # the original size given to the network of version 1.1, as in the official code


class Texts(NamedTuple):
    """A condition: the text encoded by CLIP and T5, and masks of its tokens. A prompt of None is encoded as ""."""

    clip: Tensor  # (B, 77, width)
    clip_mask: Tensor  # (B, 77)
    t5: Tensor  # (B, 256, width 2)
    t5_mask: Tensor  # (B, 256)


class HunyuanDiTPipeline(TransformerPipeline):
    """An open Hunyuan-DiT. Its own scheduler adds noise at each step; only its levels and spacing are used.

    original_size: (height, width) given to the network of version 1.1 as the picture's before scaling; unused in 1.2
    """

    predicts: ClassVar[tuple[str, ...]] = ("epsilon", "v_prediction")
    widths: ClassVar[tuple[str, ...]] = ("cross_attention_dim", "cross_attention_dim_t5")
    attends: TextAttention = TextAttention(
        network="transformer",
        modules=r"blocks\.\d+\.attn2",
        tokenizers={"tokenizer": slice(0, TOKENS[0]), "tokenizer_2": slice(TOKENS[0], sum(TOKENS))},
        text=slice(None),
        image=slice(None),
    )

    def __init__(
        self,
        parts: Any,
        size: tuple[int, int] | None = None,
        release: bool = False,
        original_size: tuple[int, int] = ORIGINAL,
    ) -> None:
        super().__init__(parts, size, release)
        self._original_size = original_size

    @property
    def reads(self) -> Mapping[str, int]:
        known = dict(zip(("tokenizer", "tokenizer_2"), TOKENS, strict=True))
        return {name: tokens for name, tokens in known.items() if getattr(self.parts, name) is not None}

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Texts, Texts]:
        negatives, both = [text or "" for text in negative_prompts], []
        for encoder, tokens in enumerate(TOKENS):
            both += [
                self.parts.encode_prompt(
                    prompts,
                    device=self.device,
                    dtype=self.net.dtype,
                    num_images_per_prompt=1,
                    negative_prompt=negatives,
                    max_sequence_length=tokens,
                    text_encoder_index=encoder,
                )
            ]
        (clip, no_clip, mask, no_mask), (t5, no_t5, mask_t5, no_mask_t5) = both
        return Texts(clip, mask, t5, mask_t5), Texts(no_clip, no_mask, no_t5, no_mask_t5)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Texts]) -> Tensor:
        clip, clip_mask, t5, t5_mask = (torch.cat(parts) for parts in zip(*conds, strict=True))
        output = self.net(
            batch,
            time.to(batch.dtype).expand(len(batch)),  # the network computes in the dtype of the time
            encoder_hidden_states=clip,
            text_embedding_mask=clip_mask,
            encoder_hidden_states_t5=t5,
            text_embedding_mask_t5=t5_mask,
            image_rotary_emb=self._positions(batch),
            return_dict=False,
            **self._sizes(batch),
        )[0]
        return output[:, : batch.shape[1]]  # the other channels are a learned variance

    def _sizes(self, batch: Tensor) -> dict[str, Tensor]:
        """The inputs for sizes and style, which version 1.1 has."""
        if not self.net.config.use_style_cond_and_image_meta_size:
            return {}
        height, width = (side * self.parts.vae_scale_factor for side in batch.shape[-2:])
        sizes = batch.new_tensor([*self._original_size, height, width, 0, 0])  # the last two: no crop
        return {
            "image_meta_size": sizes.repeat(len(batch), 1),
            "style": torch.zeros(len(batch), dtype=torch.int64, device=batch.device),
        }

    def _positions(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the tokens' positions, on a grid resized to that of a picture of 512 pixels."""
        from diffusers.models.embeddings import get_2d_rotary_pos_embed
        from diffusers.pipelines.hunyuandit.pipeline_hunyuandit import get_resize_crop_region_for_grid

        patch = self.net.config.patch_size
        grid = (batch.shape[-2] // patch, batch.shape[-1] // patch)
        region = get_resize_crop_region_for_grid(grid, 512 // self.parts.vae_scale_factor // patch)
        width = self.net.inner_dim // self.net.num_heads
        return get_2d_rotary_pos_embed(width, region, grid, device=batch.device, output_type="pt")


@dataclass(frozen=True)
class HunyuanDiT(GoldenStart, TransformerModel):
    """Any folder or hub repository for diffusers' HunyuanDiTPipeline; fields as in `TransformerModel`,
    `GoldenStart`, and

    original_size: (height, width) given to the network of version 1.1 as the picture's before scaling; unused in 1.2
    """

    kind: ClassVar[str] = "HunyuanDiTPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = HunyuanDiTPipeline
    published: ClassVar[str] = "Klayand/GoldenNoiseModel/dit.pth"
    takes_lora: ClassVar[bool] = False
    classes: ClassVar[Mapping[str, str]] = {"transformer": "HunyuanDiT2DModel", **TransformerModel.classes}
    parts: ClassVar[tuple[str, ...]] = (
        *("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae"),
    )
    without: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "requires_safety_checker": False,
        "feature_extractor": None,
    }

    gamma1: float = 6.0
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "hunyuan_dit"
    original_size: tuple[int, int] = ORIGINAL

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "original_size", two_sides("original_size", self.original_size))

    def identity(self) -> Mapping[str, Any]:
        read = self.config_of("transformer").get("use_style_cond_and_image_meta_size", True)
        return {**super().identity()} | ({"original_size": self.original_size} if read else {})

    def _opened(self, loaded: Any) -> HunyuanDiTPipeline:
        return HunyuanDiTPipeline(loaded, self.size, self.savings.release, self.original_size)


__all__ = ["HunyuanDiT", "HunyuanDiTPipeline", "Texts"]
