"""FLUX.1 (Black Forest Labs, 2024), dev and schnell, loaded by diffusers from a folder or a hub id.

The meaning of gamma1 and gamma2 depends on the guidance, and on whether the network was distilled to read a scale:

guidance=embedded: dev only. gamma1 in the zig and gamma2 in the zag are an input of the network; one evaluation each.
guidance=cfg:      u + gamma * (c - u), with u from the negative prompt (None is encoded as ""). In dev the input of
                   both branches is `model.embedded`, so that gamma = 1 is dev as it is usually run. schnell has no
                   such input; its authors run it at gamma = 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from zz.diffusion.guidance.base import ScaledCond
from zz.diffusion.validate import check_count, check_number
from zz.models.attention.reading import TextAttention
from zz.models.base import Can
from zz.models.pretrained.pipeline import FLOW, LatentPipeline, Text, factor
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

PACK = 2  # latents a side of one token


class FluxPipeline(TransformerPipeline):
    """An open FLUX: a rectified flow. Latents are (B, 16, h, w); they are packed into tokens for the network.

    embedded:    the guidance scale given to the network with a plain condition; only dev has this input
    text_tokens: number of tokens that T5 reads of a prompt
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    even: ClassVar[bool] = True
    widths: ClassVar[tuple[str, ...]] = ("joint_attention_dim", "pooled_projection_dim")

    def __init__(
        self,
        parts: Any,
        size: tuple[int, int] | None = None,
        release: bool = False,
        embedded: float = 3.5,
        text_tokens: int = 512,
    ) -> None:
        side = parts.default_sample_size * parts.vae_scale_factor
        super().__init__(parts, size or (side, side), release)
        self._embedded, self._text_tokens = embedded, text_tokens

    @property
    def can(self) -> Can:
        return Can(scaled=bool(self.net.config.guidance_embeds), tokens=True, inside=True, blocks=True)

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 64) // PACK**2

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * PACK

    @property
    def attends(self) -> TextAttention:
        """In the joint attention the order is T5's tokens, picture. CLIP contributes a pooled vector only."""
        return TextAttention(
            network="transformer",
            modules=r"(single_)?transformer_blocks\.\d+\.attn",
            tokenizers={"tokenizer_2": slice(0, self._text_tokens)},
            text=slice(self._text_tokens),
            image=slice(self._text_tokens, None),
        )

    @property
    def reads(self) -> Mapping[str, int]:
        found = super().reads
        return {**found, "tokenizer_2": self._text_tokens} if "tokenizer_2" in found else found

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Text, Text]:
        texts = [*prompts, *(text or "" for text in negative_prompts)]
        tokens, pooled, _ = self.parts.encode_prompt(
            texts, device=self.device, num_images_per_prompt=1, max_sequence_length=self._text_tokens
        )
        B = len(prompts)
        return Text(tokens[:B], pooled[:B]), Text(tokens[B:], pooled[B:])

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Text | ScaledCond]) -> Tensor:
        each = [cond if isinstance(cond, ScaledCond) else ScaledCond(cond, self._embedded) for cond in conds]
        tokens, pooled = (torch.cat(parts) for parts in zip(*(scaled.cond for scaled in each), strict=True))
        n = len(batch) // len(each)  # pictures
        gammas = torch.cat([torch.as_tensor(scaled.gamma).to(time).expand(n) for scaled in each])
        h, w = (side // PACK for side in batch.shape[-2:])
        positions = torch.cartesian_prod(*(torch.arange(n, device=batch.device) for n in (1, h, w))).to(time.dtype)
        output = self.net(
            hidden_states=pixel_unshuffle(batch, PACK).flatten(2).mT,
            timestep=(time / self.levels.N).expand(len(batch)),
            guidance=gammas if self.can.scaled else None,
            pooled_projections=pooled,
            encoder_hidden_states=tokens,
            txt_ids=positions.new_zeros(tokens.shape[1], 3),
            img_ids=positions,
            return_dict=False,
        )[0]
        return pixel_shuffle(output.mT.unflatten(2, (h, w)), PACK)


@dataclass(frozen=True)
class Flux(TransformerModel):
    """Any folder or hub repository for diffusers' FluxPipeline; fields as in `TransformerModel`, and

    embedded:    the guidance scale given to dev's network under guidance=cfg; schnell has no such input
    text_tokens: number of tokens that T5 reads of a prompt; schnell was trained on 256
    """

    kind: ClassVar[str] = "FluxPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = FluxPipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "FluxTransformer2DModel", **TransformerModel.classes}
    parts: ClassVar[tuple[str, ...]] = (
        *("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae"),
    )
    without: ClassVar[Mapping[str, Any]] = {"image_encoder": None, "feature_extractor": None}

    gamma1: float = 3.5
    steps: int = 28
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 1
    name: str = "flux"
    embedded: float = 3.5
    text_tokens: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("model.embedded", self.embedded, 0)
        check_count("model.text_tokens", self.text_tokens, 1)

    @property
    def can(self) -> Can:
        scaled = bool(self.config_of("transformer").get("guidance_embeds", False))
        return Can(scaled=scaled, tokens=True, inside=True, blocks=True)

    def identity(self) -> Mapping[str, Any]:
        scale = {"embedded": self.embedded} if self.can.scaled else {}
        return {**super().identity(), "text_tokens": self.text_tokens} | scale

    def _opened(self, loaded: Any) -> FluxPipeline:
        return FluxPipeline(loaded, self.size, self.savings.release, self.embedded, self.text_tokens)


__all__ = ["Flux", "FluxPipeline"]
