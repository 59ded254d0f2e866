"""FLUX.1 (Black Forest Labs, 2024), dev and schnell, loaded by diffusers from a folder or a hub id.

What gamma1 and gamma2 are depends on the guidance, and on whether the network was distilled to be told one:

guidance=embedded: dev only. The network is told gamma1 in the zig and gamma2 in the zag, in one row with the prompt.
guidance=cfg:      u + gamma * (c - u) over a row with the prompt and one with the negative prompt, None being the
                   encoded "". On dev both branches are also given `model.embedded`, so that gamma = 1 is dev as it is
                   usually run. schnell is told none; its makers run it at gamma = 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from zz.diffusion.guidance.base import ScaledCond
from zz.diffusion.levels import Levels
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import check_count, check_number
from zz.models.attention.reading import TextAttention
from zz.models.base import Can
from zz.models.pretrained.pipeline import FLOW, LatentPipeline, Text, factor
from zz.models.pretrained.scheduler import from_config
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

PACK = 2  # a token is so many latents a side


class FluxPipeline(TransformerPipeline):
    """An open FLUX: a rectified flow. Latents are (B, 16, h, w); the network's tokens are made of them on the way in.

    embedded:    the guidance that the network is told where nothing else is said; only dev hears it
    text_tokens: of a prompt, that T5 reads
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
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
        return Can(scaled=bool(self.net.config.guidance_embeds))

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 64) // PACK**2

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * PACK

    @classmethod
    def noise_levels(
        cls, scheduler: Mapping[str, Any], network: Mapping[str, Any], vae: Mapping[str, Any]
    ) -> tuple[Levels, Schedule]:
        return from_config(scheduler, cls.multiple(network, vae), even=True)

    @property
    def attends(self) -> TextAttention:
        """T5's tokens come first, then the picture. CLIP gives a summary only."""
        return TextAttention(
            network="transformer",
            modules=r"(single_)?transformer_blocks\.\d+\.attn",
            tokenizers={"tokenizer_2": slice(0, self._text_tokens)},
            text=slice(self._text_tokens),
            image=slice(self._text_tokens, None),
        )

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Text, Text]:
        texts = [*prompts, *(text or "" for text in negative_prompts)]
        tokens, pooled, _ = self.parts.encode_prompt(
            texts, device=self.device, num_images_per_prompt=1, max_sequence_length=self._text_tokens
        )
        B = len(prompts)
        return Text(tokens[:B], pooled[:B]), Text(tokens[B:], pooled[B:])

    def _said(self, batch: Tensor, time: Tensor, conds: Sequence[Text | ScaledCond]) -> Tensor:
        each = [cond if isinstance(cond, ScaledCond) else ScaledCond(cond, self._embedded) for cond in conds]
        tokens, pooled = (torch.cat(parts) for parts in zip(*(told.cond for told in each), strict=True))
        n = len(batch) // len(each)  # pictures
        gammas = torch.cat([torch.as_tensor(scaled.gamma).to(time).expand(n) for scaled in each])
        h, w = (side // PACK for side in batch.shape[-2:])
        places = torch.cartesian_prod(*(torch.arange(n, device=batch.device) for n in (1, h, w))).to(time.dtype)
        said = self.net(
            hidden_states=pixel_unshuffle(batch, PACK).flatten(2).mT,
            timestep=(time / self.levels.N).expand(len(batch)),
            guidance=gammas if self.can.scaled else None,
            pooled_projections=pooled,
            encoder_hidden_states=tokens,
            txt_ids=places.new_zeros(tokens.shape[1], 3),
            img_ids=places,
            return_dict=False,
        )[0]
        return pixel_shuffle(said.mT.unflatten(2, (h, w)), PACK)


@dataclass(frozen=True)
class Flux(TransformerModel):
    """Any folder or hub repository that diffusers calls a FluxPipeline; fields as in `TransformerModel`, and

    embedded:    the guidance that dev is told by guidance=cfg in every row; schnell is told none
    text_tokens: of a prompt, that T5 reads; schnell was trained on 256
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
        return Can(scaled=bool(self.config_of("transformer").get("guidance_embeds", False)))

    def identity(self) -> Mapping[str, Any]:
        told = {"embedded": self.embedded} if self.can.scaled else {}
        return {**super().identity(), "text_tokens": self.text_tokens} | told

    def _opened(self, loaded: Any) -> FluxPipeline:
        return FluxPipeline(loaded, self.size, self.savings.release, self.embedded, self.text_tokens)


__all__ = ["Flux", "FluxPipeline"]
