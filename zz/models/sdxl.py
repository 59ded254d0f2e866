"""Stable Diffusion XL (Podell et al., 2023), loaded by diffusers from a folder or a hub id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from zz.models.base import Can
from zz.models.pretrained.description import two_sides
from zz.models.pretrained.pipeline import LatentPipeline, Text
from zz.models.pretrained.starting import GoldenStart
from zz.models.pretrained.unet import UNetModel, UNetPipeline


class Micro(NamedTuple):
    """SDXL's micro-conditioning (Podell et al., 2023, Section 2.2), in pixels; None: the size that is drawn."""

    original_size: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] | None = None


class StableDiffusionXLPipeline(UNetPipeline):
    """An open SDXL. A negative prompt of None is zeros if force_zeros_for_empty_prompt is set; "" is always encoded.

    micro: the sizes given to the network
    """

    addition: ClassVar[str | None] = "text_time"

    def __init__(
        self, parts: Any, size: tuple[int, int] | None = None, release: bool = False, micro: Micro | None = None
    ) -> None:
        super().__init__(parts, size, release)
        self._micro = micro or Micro()

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Text, Text]:
        negatives = [text or "" for text in negative_prompts]
        cond, uncond, pooled, unpooled = self.parts.encode_prompt(
            prompts, device=self.device, num_images_per_prompt=1, negative_prompt=negatives
        )
        if self.parts.config.force_zeros_for_empty_prompt:
            none = torch.tensor([text is None for text in negative_prompts], device=self.device)
            uncond, unpooled = uncond.masked_fill(none[:, None, None], 0), unpooled.masked_fill(none[:, None], 0)
        return Text(cond, pooled), Text(uncond, unpooled)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Text]) -> Tensor:
        tokens, pooled = (torch.cat([cond[i] for cond in conds]) for i in (0, 1))
        height, width = (side * self.parts.vae_scale_factor for side in batch.shape[-2:])
        micro = self._micro
        original, target = micro.original_size or (height, width), micro.target_size or (height, width)
        sizes = pooled.new_tensor([*original, *micro.crop, *target])
        added = {"text_embeds": pooled, "time_ids": sizes.expand(len(batch), -1)}
        return self.parts.unet(batch, time, encoder_hidden_states=tokens, added_cond_kwargs=added, return_dict=False)[0]

    def _vae_dtype(self) -> torch.dtype:
        vae = self.parts.vae
        overflows = vae.dtype == torch.float16 and vae.config.force_upcast
        return torch.float32 if overflows else vae.dtype

    def _unscaled(self, x: Tensor) -> Tensor:
        mean, std = self._moments(x)
        return super()._unscaled(x) * std + mean

    def _scaled(self, x: Tensor) -> Tensor:
        mean, std = self._moments(x)
        return super()._scaled((x - mean) / std)

    def _moments(self, x: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean and deviation of the autoencoder's latents by channel, if its configuration has them."""
        vae = self.parts.vae.config
        if vae.get("latents_mean") is None or vae.get("latents_std") is None:
            return 0.0, 1.0
        mean, std = (x.new_tensor(values).view(1, -1, 1, 1) for values in (vae.latents_mean, vae.latents_std))
        return mean, std


@dataclass(frozen=True)
class StableDiffusionXL(GoldenStart, UNetModel):
    """Any folder or hub repository for diffusers' StableDiffusionXLPipeline; fields as in `UNetModel`,
    `GoldenStart`, and

    original_size: (height, width) given to the network as the picture's before scaling; None: the size that is drawn
    crop:          (top, left) given to the network as cut off
    target_size:   (height, width) given to the network as the picture's; None: the size that is drawn
    """

    kind: ClassVar[str] = "StableDiffusionXLPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = StableDiffusionXLPipeline
    published: ClassVar[str] = "Klayand/GoldenNoiseModel/sdxl.pth"
    parts: ClassVar[tuple[str, ...]] = (
        *("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae"),
    )
    without: ClassVar[Mapping[str, Any]] = {"add_watermarker": False, "feature_extractor": None, "image_encoder": None}

    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "sdxl"
    original_size: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("original_size", "crop", "target_size"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, two_sides(name, value))

    @property
    def can(self) -> Can:
        return Can(taps=True, tokens=True, inside=True)

    def identity(self) -> Mapping[str, Any]:
        zeros = self.home().read("model_index.json").get("force_zeros_for_empty_prompt", True)
        return {**super().identity(), "told": self._micro()._asdict(), "zeros_for_none": bool(zeros)}

    def _micro(self) -> Micro:
        return Micro(self.original_size, self.crop, self.target_size)

    def _opened(self, loaded: Any) -> StableDiffusionXLPipeline:
        return StableDiffusionXLPipeline(loaded, self.size, self.savings.release, self._micro())


__all__ = ["Micro", "StableDiffusionXL", "StableDiffusionXLPipeline"]
