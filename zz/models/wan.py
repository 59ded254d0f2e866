"""Wan 2.1 and 2.2 TI2V (Wan Team, 2025, arXiv:2503.20314), text to video, loaded by diffusers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.diffusion.validate import check_count
from zz.models.attention.reading import TextAttention
from zz.models.pretrained.pipeline import FLOW, LatentPipeline
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

TOKENS = 512  # that UMT5 reads of a prompt, in diffusers
FRAMES, SIZE = 81, (480, 832)  # diffusers' defaults


class WanPipeline(TransformerPipeline):
    """An open Wan: a rectified flow on clips. A negative prompt of None is encoded as "".

    A condition is the encoded text, (B, tokens, width), zeros beyond its end. Latents are (B, C, F, h, w), F of them in
    time: one for the first frame, and one for every 4 after it.

    frames:      of a clip; 1: pictures
    text_tokens: number of tokens that UMT5 reads of a prompt
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    unread: ClassVar[Mapping[str, str]] = dict.fromkeys(("image_dim", "added_kv_proj_dim"), "image to video")
    by_size: ClassVar[bool] = False
    widths: ClassVar[tuple[str, ...]] = ("text_dim",)
    spare: ClassVar[tuple[str, ...]] = ("transformer_2",)

    def __init__(
        self,
        parts: Any,
        size: tuple[int, int] | None = None,
        release: bool = False,
        frames: int = FRAMES,
        text_tokens: int = TOKENS,
    ) -> None:
        super().__init__(parts, size or SIZE, release)
        self.frames, self._text_tokens = frames, text_tokens
        self._in_time = check_frames("frames", frames, parts.vae.config)

    @classmethod
    def check_parts(cls, parts: Any) -> None:
        check_single(parts.transformer_2, parts.config.boundary_ratio, f"the {type(parts).__name__}")
        super().check_parts(parts)

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 16)

    @classmethod
    def depth(cls, vae: Mapping[str, Any]) -> int:
        return vae.get("z_dim", 16)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return vae.get("scale_factor_spatial", 8) * max(network.get("patch_size", (1, 2, 2))[1:])

    @property
    def factor(self) -> int:
        return self.parts.vae_scale_factor_spatial

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        channels, *sides = super().shape(size)
        return channels, self._in_time, *sides

    @property
    def attends(self) -> TextAttention:
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean  # of spaces, HTML and broken Unicode

        return TextAttention(
            network="transformer",
            modules=r"blocks\.\d+\.attn2",
            tokenizers={"tokenizer": slice(0, self._text_tokens)},
            text=slice(None),
            image=slice(None),
            cleaned=prompt_clean,
            whole_clips=True,
        )

    @property
    def reads(self) -> Mapping[str, int]:
        return dict.fromkeys(super().reads, self._text_tokens)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """Also of clips, (B, frames, H, W, 3); of pictures where frames is 1."""
        found = pictures.shape[1] if pictures.ndim == 5 else 1
        if found != self.frames:
            raise ValueError(f"these clips have {found} frames, not {self.frames}; model.frames={found} takes them")
        return super().encode_image(pictures)

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        return self.parts.encode_prompt(
            prompts,
            negative_prompt=[text or "" for text in negative_prompts],
            max_sequence_length=self._text_tokens,
            device=self.device,
        )

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Tensor]) -> Tensor:
        times = time.expand(len(batch))
        if self.parts.config.expand_timesteps:  # one for each token
            times = times[:, None].expand(-1, prod(batch.shape[2:]) // prod(self.net.config.patch_size))
        tokens = torch.cat(list(conds)).to(batch.dtype)
        return self.net(hidden_states=batch, timestep=times, encoder_hidden_states=tokens, return_dict=False)[0]

    def _vae_encode(self, vae: Any, x: Tensor) -> Tensor:
        return super()._vae_encode(vae, x if x.ndim == 5 else x.unsqueeze(2))

    def _unscaled(self, x: Tensor) -> Tensor:
        return x * self._of_channels(x, "latents_std") + self._of_channels(x, "latents_mean")

    def _scaled(self, x: Tensor) -> Tensor:
        return (x - self._of_channels(x, "latents_mean")) / self._of_channels(x, "latents_std")

    def _of_channels(self, x: Tensor, name: str) -> Tensor:
        """Numbers of the autoencoder's configuration, one a channel, (C, 1, 1, 1)."""
        return x.new_tensor(self.parts.vae.config[name]).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Wan(TransformerModel):
    """Any folder or hub repository for diffusers' WanPipeline; fields as in `TransformerModel`, and

    frames:      of a clip, 4 n + 1; 1: pictures
    fps:         frames a second, when a clip is shown; changes no number
    text_tokens: number of tokens that UMT5 reads of a prompt
    """

    kind: ClassVar[str] = "WanPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = WanPipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "WanTransformer3DModel", "vae": "AutoencoderKLWan"}
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
    without: ClassVar[Mapping[str, Any]] = {"transformer_2": None}
    full: ClassVar[tuple[str, ...]] = ("vae",)  # as diffusers' documentation has it

    gamma1: float = 5.0
    size: tuple[int, int] = SIZE
    batch_size: int = 1
    name: str = "wan"
    frames: int = FRAMES
    fps: int = 16
    text_tokens: int = TOKENS

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frames", "fps", "text_tokens"):
            check_count(f"model.{name}", getattr(self, name), 1)

    def identity(self) -> Mapping[str, Any]:
        index = self.home().read("model_index.json")
        each = {"expand_timesteps": True} if index.get("expand_timesteps") else {}
        return {**super().identity(), "frames": self.frames, "text_tokens": self.text_tokens} | each

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        super().check(size, prompts, precision)
        home = self.home()
        index = home.read("model_index.json")
        second = (index.get("transformer_2") or [None])[0]
        check_single(second, index.get("boundary_ratio"), f"model.pretrained={home.name}")
        check_frames("model.frames", self.frames, self.config_of("vae"))

    def _opened(self, loaded: Any) -> WanPipeline:
        return WanPipeline(loaded, self.size, self.savings.release, self.frames, self.text_tokens)


def check_frames(name: str, frames: int, vae: Mapping[str, Any]) -> int:
    """The number of latents in time of this many frames. Raises ValueError where the autoencoder makes no such clip."""
    check_count(name, frames, 1)
    n = vae.get("scale_factor_temporal", 4)  # frames of a latent after the first
    if over := (frames - 1) % n:
        near = f"{frames - over} or {frames - over + n}"
        raise ValueError(f"{name}={frames} must be {n} n + 1, as its autoencoder makes; choose {near}")
    return (frames - 1) // n + 1


def check_single(second: Any, boundary: float | None, who: str) -> None:
    """Raise ValueError on two experts, of which each denoises at a part of the noise levels."""
    if second is not None or boundary is not None:
        raise ValueError(
            f"{who} has two experts (transformer_2, boundary_ratio={boundary}), which are not supported; give one with "
            "a single transformer, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers or Wan-AI/Wan2.2-TI2V-5B-Diffusers"
        )


__all__ = ["Wan", "WanPipeline"]
