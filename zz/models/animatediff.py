"""AnimateDiff (Guo et al., ICLR 2024, arXiv:2307.04725): a Stable Diffusion with a motion adapter, for clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.diffusion.finite import NotFinite
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.validate import check_count
from zz.models.base import Can
from zz.models.pretrained.pipeline import LatentPipeline
from zz.models.pretrained.unet import UNetModel
from zz.models.sd import StableDiffusionPipeline


@dataclass(frozen=True)
class AnimateDiff(UNetModel):
    """A Stable Diffusion as in `UNetModel`, with

    motion_adapter: a folder or hub id (ID or ID@REVISION) of a diffusers MotionAdapter
    frames:         of a clip; at most as many as the adapter supports
    fps:            frames a second, when a clip is shown; changes no number
    beta_schedule:  the adapter's training noise levels, used instead of those in the base's scheduler

    Its own schedule is linspace timesteps, N - 1 to 0, and then the clean node: diffusers' documentation evaluates the
    published adapters at these times. Here each step leads to the next node. diffusers' DDIM steps from t to t - N // T
    instead, which is not the next node at this spacing, so that no zag could invert its steps. With schedule=leading,
    or trailing where T divides N, the two agree.
    """

    kind: ClassVar[str] = "StableDiffusionPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = StableDiffusionPipeline  # its sizes and levels are the same
    becomes: ClassVar[str | None] = "AnimateDiffPipeline"
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "unet", "vae", "motion_adapter")
    without: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    classes: ClassVar[Mapping[str, str]] = {**UNetModel.classes, "motion_adapter": "MotionAdapter"}

    gamma1: float = 7.5
    batch_size: int = 1
    name: str = "animatediff"
    motion_adapter: str = "guoyww/animatediff-motion-adapter-v1-5-3"
    frames: int = 16
    fps: int = 8
    beta_schedule: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("model.frames", self.frames, 1)
        check_count("model.fps", self.fps, 1)
        if not self.motion_adapter:
            raise ValueError("model.motion_adapter is not set; give a folder or a hub id")

    def identity(self) -> Mapping[str, Any]:
        return {**super().identity(), "frames": self.frames, "beta_schedule": self.beta_schedule}

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        super().check(size, prompts, precision)
        unet, adapter = self.config_of("unet"), self.config_of("motion_adapter")
        check_frames("model.frames", self.frames, adapter.get("motion_max_seq_length", 32))
        own, its = (list(config.get("block_out_channels", ())) for config in (unet, adapter))
        if own != its or adapter.get("conv_in_channels"):
            raise ValueError(
                f"model.motion_adapter={self.motion_adapter} is made for a U-Net of {its} channels that reads latents "
                f"of {adapter.get('conv_in_channels') or 4}; that of model.pretrained={self.home().name} has {own}, 4"
            )

    def config_of(self, part: str) -> Mapping[str, Any]:
        found = super().config_of(part)
        if part != "scheduler":
            return found
        asked = {"beta_schedule": self.beta_schedule, "timestep_spacing": "linspace", "set_alpha_to_one": True}
        return {**found, "trained_betas": None, **asked}

    def _opened(self, loaded: Any) -> "AnimateDiffPipeline":
        from diffusers import DDIMScheduler

        loaded.scheduler = DDIMScheduler.from_config(self.config_of("scheduler"))
        loaded.unet.eval()  # diffusers builds it from the U-Net and the adapter, in train mode
        return AnimateDiffPipeline(loaded, self.size, self.savings.release, self.frames)


class AnimateDiffPipeline(StableDiffusionPipeline):
    """An open AnimateDiff. A condition is the encoded text, (B, tokens, width), the same for every frame.

    frames: of a clip; None: 16, as in diffusers, or fewer if the adapter supports no more
    """

    @property
    def can(self) -> Can:
        return Can()  # guidance by attention has not been tested on clips

    def __init__(
        self, parts: Any, size: tuple[int, int] | None = None, release: bool = False, frames: int | None = None
    ) -> None:
        super().__init__(parts, size, release)
        if parts.free_init_enabled:
            raise ValueError(
                "the AnimateDiffPipeline has FreeInit enabled, which is a sampler here: call its disable_free_init, "
                "and give sampler=zz.FreeInit(...)"
            )
        most = parts.unet.config.motion_max_seq_length
        self.frames = min(16, most) if frames is None else frames
        check_frames("frames", self.frames, most)
        if isinstance(self.schedule, Timesteps) and self.schedule.spacing == "linspace":
            self.schedule = replace(self.schedule, final="clean")  # after timestep 0 there is no other node

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        channels, *sides = super().shape(size)
        return channels, self.frames, *sides

    def decode(self, x: Tensor) -> Tensor:
        clips, bad = [], []
        for row, clip in enumerate(x):
            try:
                clips.append(self._decoded(clip.transpose(0, 1)))
            except NotFinite as error:
                bad.append((row, error.what))
        if bad:
            raise NotFinite(bad[0][1], [row for row, _ in bad])
        return torch.stack(clips)

    def _decoded(self, frames: Tensor) -> Tensor:
        """One clip's latents, (F, C, h, w), as pictures."""
        return super().decode(frames)

    def encode_image(self, pictures: Tensor) -> Tensor:
        raise ValueError("a picture is no clip: AnimateDiff has no way from pictures to latents; it cannot invert them")

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Tensor]) -> Tensor:
        return super()._output(batch, time, [torch.cat(list(conds)).repeat_interleave(batch.shape[2], dim=0)])


def check_frames(name: str, frames: int, most: int) -> None:
    """Raise ValueError on more frames than the adapter supports."""
    check_count(name, frames, 1)
    if frames > most:
        raise ValueError(f"{name}={frames} is too many: the motion adapter was made for at most {most}; lower it")


__all__ = ["AnimateDiff", "AnimateDiffPipeline"]
