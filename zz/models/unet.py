"""What Stable Diffusion and its kin have in common once open: a U-Net over the latents of an autoencoder.

Text encoding and decoding are the diffusers pipeline's own methods; the loop over steps is ours.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.prediction import Prediction, from_eps, from_v
from zz.diffusion.schedule import Node
from zz.diffusion.spacing import from_config
from zz.models.base import Pipeline
from zz.models.tapping import tapped, untapped

READ = {"epsilon": from_eps, "v_prediction": from_v}  # by the scheduler's prediction_type


class UNetPipeline(Pipeline):
    """diffusers' parts under our loop. Latents are float32; the network computes in its own precision.

    parts:   the loaded diffusers pipeline. Its scheduler lends its levels and spacing; the solver is ours.
    size:    drawn where none is asked for; by default what its U-Net was configured for
    release: whether text encoders wait on the CPU while nothing is encoded
    """

    tappable = True

    def __init__(self, parts: Any, size: tuple[int, int] | None = None, release: bool = False) -> None:
        self.parts, self.device, self._release = parts, parts._execution_device, release  # where offloaded parts go
        config, unet = dict(parts.scheduler.config), parts.unet.config
        who = f"the {type(parts).__name__}"
        self._read = READ[check_scheduler(config, type(parts.scheduler).__name__, who)]
        self.curve, self.spacing = from_config(config)
        if getattr(parts.unet, "encoder_hid_proj", None) is not None:
            raise ValueError(f"{who} carries an IP-Adapter, which is not supported; call its unload_ip_adapter first")
        if unet.in_channels != parts.vae.config.latent_channels or unet.get("time_cond_proj_dim"):
            raise ValueError(f"{who} has a U-Net that reads more than latents, a time and a text; it is not supported")
        side = unet.sample_size
        own = None if side is None else (side, side) if isinstance(side, int) else tuple(side)
        self.size = size or (own and (own[0] * parts.vae_scale_factor, own[1] * parts.vae_scale_factor))
        self._multiple = parts.vae_scale_factor * 2 ** (len(unet.block_out_channels) - 1)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        check_size(size, self._multiple)
        factor = self.parts.vae_scale_factor
        return self.parts.unet.config.in_channels, size[0] // factor, size[1] // factor

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        names = ("text_encoder", "text_encoder_2") if self._release else ()
        encoders = [part for name in names if (part := getattr(self.parts, name, None)) is not None]
        for part in encoders:
            part.to(self.device)
        conditions = self._text(list(prompts), negative_prompts)
        for part in encoders:
            part.to("cpu")
        return conditions

    @torch.no_grad()
    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        rows = torch.cat([x] * len(conds)).to(self.parts.unet.dtype)
        time = torch.tensor(node.time, dtype=torch.float32, device=x.device)
        with tapped(self.parts.unet, conds, (x.shape[-2], x.shape[-1])):
            said = self._unet(rows, time, [untapped(cond) for cond in conds]).to(x.dtype)
        return tuple(self._read(x, node, one) for one in said.chunk(len(conds)))

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        with self._vae() as vae:
            pictures = vae.decode(self._unscaled(x.to(vae.dtype)), return_dict=False)[0]
        self.parts.maybe_free_model_hooks()  # offloaded parts go back to wait
        shown = (pictures.float() / 2 + 0.5).clamp(0, 1)
        return (shown * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1)

    @torch.no_grad()
    def encode_image(self, pictures: Tensor) -> Tensor:
        x = pictures.to(self.device).permute(0, 3, 1, 2) / 127.5 - 1
        with self._vae() as vae:
            found = vae.encode(x.to(vae.dtype)).latent_dist.mean
        self.parts.maybe_free_model_hooks()
        return self._scaled(found.float())

    @abstractmethod
    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        """Conditions of the prompts and of the negative prompts."""

    @abstractmethod
    def _unet(self, rows: Tensor, time: Tensor, conds: Sequence[Any]) -> Tensor:
        """What the network says of rows (len(conds) * B, C, h, w), in its own dtype."""

    @contextmanager
    def _vae(self) -> Iterator[Any]:
        """The autoencoder, for as long as the `with` lasts in the type that it must compute in."""
        vae = self.parts.vae
        own, needed = vae.dtype, self._vae_dtype()
        if needed != own:
            vae.to(needed)
        try:
            yield vae
        finally:
            if needed != own:
                vae.to(own)

    def _vae_dtype(self) -> torch.dtype:
        """The type that the autoencoder computes in."""
        return self.parts.vae.dtype

    def _unscaled(self, x: Tensor) -> Tensor:
        """Latents as the autoencoder knows them."""
        return x / self.parts.vae.config.scaling_factor

    def _scaled(self, x: Tensor) -> Tensor:
        """Latents as the U-Net knows them."""
        return x * self.parts.vae.config.scaling_factor


def check_scheduler(config: Mapping[str, Any], name: str, who: str) -> str:
    """What a network predicts by its scheduler's config. Raises ValueError on one whose levels are not DDIM's."""
    if "FlowMatch" in name or "sigma_data" in config:
        raise ValueError(f"{who} has a {name}; a discrete noise schedule is needed, such as DDIMScheduler's")
    said = config.get("prediction_type", "epsilon")
    if said not in READ:
        raise ValueError(f"{who} predicts {said!r}; known are {', '.join(READ)}")
    return said


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise ValueError on a picture that the autoencoder and the U-Net cannot halve as often as they must."""
    if any(side < multiple or side % multiple for side in size):
        height, width = (max(multiple, side // multiple * multiple) for side in size)
        raise ValueError(f"size={size[0]}x{size[1]} must be multiples of {multiple}; choose {height}x{width}")


__all__ = ["READ", "UNetPipeline", "check_scheduler", "check_size"]
