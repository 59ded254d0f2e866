"""The open form of models that diffusers loads: a network on the latents of an autoencoder.

Text encoding and decoding are the diffusers pipeline's own methods; the loop over steps is zz's.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from zz.diffusion.finite import checked
from zz.diffusion.guidance.altered import Altered, passes, unaltered
from zz.diffusion.levels import Levels
from zz.diffusion.prediction import Prediction, from_eps, from_v, from_velocity
from zz.diffusion.schedule import Node
from zz.diffusion.schedules.base import Schedule
from zz.models.attention.reading import TextAttention
from zz.models.attention.tapping import tapped, untapped
from zz.models.base import Pipeline
from zz.models.pretrained.inside import Inside
from zz.models.pretrained.known import check_sizes, check_words
from zz.models.pretrained.quiet import quiet
from zz.models.pretrained.scheduler import from_config

FLOW = "flow_prediction"
NO_PICTURE = (
    "what the autoencoder decodes is not finite; SDXL's own overflows in precision 16: choose model=sdxl_fp16_vae, "
    "model.vae=ANOTHER or runner.precision=32; elsewhere replace its weights"
)
READ = {"epsilon": from_eps, "v_prediction": from_v, FLOW: from_velocity}  # by prediction type


class Text(NamedTuple):
    """A condition: the tokens of all text encoders, and a pooled vector."""

    tokens: Tensor  # (B, tokens, width)
    pooled: Tensor  # (B, width 2)


class LatentPipeline(Pipeline):
    """The parts of a diffusers pipeline as a zz pipeline. Latents are float32; the network computes in its own dtype.

    A concrete subclass is named after the diffusers class that it opens, by which `borrowed.adapted` finds it.

    parts:   the loaded diffusers pipeline. Only the levels and spacing of its scheduler are used; the solver is zz's.
    size:    the default; None: the size that its network was configured for
    release: whether text encoders stay on the CPU while nothing is encoded
    words:   those that it was trained on, where its vocabulary is closed; other prompts are refused
    sizes:   those that it was trained on, where it knows no others
    npnet:   (noise, tokens of the condition) to what sampling starts from; None: from the noise
    """

    words: frozenset[str] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    npnet: Callable[[Tensor, Tensor], Tensor] | None = None
    network: ClassVar[str]  # the name of the denoising part
    noun: ClassVar[str]  # for that part in messages
    predicts: ClassVar[tuple[str, ...]]  # supported prediction types, keys of READ
    widths: ClassVar[tuple[str, ...]]  # keys of the network's configuration that are widths of encoded text
    even: ClassVar[bool] = False  # whether a flow's last time before 0 is 1 / T
    unread: ClassVar[Mapping[str, str]] = {}  # keys of networks that read more, and the models that those are of
    spare: ClassVar[tuple[str, ...]] = ()  # parts that may be left out
    by_size: ClassVar[bool] = True  # whether diffusers tells a flow's scheduler the picture's size

    def __init__(self, parts: Any, size: tuple[int, int] | None = None, release: bool = False) -> None:
        self.check_parts(parts)
        self.parts, self.device, self._release = parts, parts._execution_device, release  # also right if offloaded
        self._dtype = self.net.dtype  # diffusers walks all modules for it
        config, vae, who = self.net.config, parts.vae.config, f"the {type(parts).__name__}"
        scheduler = dict(parts.scheduler.config) | {"_class_name": type(parts.scheduler).__name__}
        self._read = READ[self.check_scheduler(scheduler, who)]
        self.levels, self.schedule = self.noise_levels(scheduler, config, vae)
        if any(getattr(self.net, name, None) is not None for name in ("encoder_hid_proj", "image_proj")):
            raise ValueError(f"{who} carries an IP-Adapter, which is not supported; call its unload_ip_adapter first")
        self.check_network(config, vae, who)
        side = config.get("sample_size")
        own = None if side is None else (side, side) if isinstance(side, int) else tuple(side)
        self.size = size or (own and (own[0] * parts.vae_scale_factor, own[1] * parts.vae_scale_factor))

    @property
    @abstractmethod
    def attends(self) -> TextAttention:
        """The modules and positions in which its network attends to the text."""

    @property
    def watchable(self) -> tuple[Any, Any] | None:
        return self.parts, self.attends

    @property
    def net(self) -> Any:
        """The network."""
        return getattr(self.parts, self.network)

    @property
    def factor(self) -> int:
        """Pixels a side of one latent."""
        return self.parts.vae_scale_factor

    @classmethod
    def check_parts(cls, parts: Any) -> None:
        """Raise ValueError if a part that is needed was left out."""
        needed = (cls.network, "vae", "scheduler", "text_encoder", "tokenizer")
        for name, part in parts.components.items():
            if part is None and name.startswith(needed) and name not in cls.spare:
                raise ValueError(
                    f"the {type(parts).__name__} has no {name}, which zz needs: load it with its {name}, "
                    f"or set pipe.{name}"
                )

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        """The number of latent channels that a network of this configuration reads."""
        return network.get("in_channels", 4)

    @classmethod
    def depth(cls, vae: Mapping[str, Any]) -> int:
        """The number of channels that the latents of an autoencoder of this configuration have."""
        return vae.get("latent_channels", 4)

    @classmethod
    @abstractmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        """The number of pixels that a picture's sides must be multiples of."""

    @classmethod
    def check_network(cls, network: Mapping[str, Any], vae: Mapping[str, Any], who: str) -> None:
        """Raise ValueError if a network of this configuration reads what it is not given.

        who: its owner, for the message
        """
        if cls.channels(network) != cls.depth(vae) or network.get("time_cond_proj_dim"):
            raise ValueError(
                f"{who} has a {cls.noun} that reads more than latents, a time and a text; it is not supported"
            )
        for name, whose in cls.unread.items():
            if network.get(name):
                raise ValueError(
                    f"{who} has a {cls.noun} with {name}={network[name]}, which a {cls.__name__} of diffusers gives "
                    f"nothing to read; is it of {whose}?"
                )

    @classmethod
    def noise_levels(
        cls, scheduler: Mapping[str, Any], network: Mapping[str, Any], vae: Mapping[str, Any]
    ) -> tuple[Levels, Schedule]:
        """The noise levels and the schedule of these configurations."""
        return from_config(scheduler, cls.multiple(network, vae), cls.even)

    @classmethod
    def check_size(cls, size: tuple[int, int], network: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
        """Raise ValueError on a size that the autoencoder and the network cannot divide evenly."""
        multiple = cls.multiple(network, vae)
        if any(side < multiple or side % multiple for side in size):
            height, width = (max(multiple, side // multiple * multiple) for side in size)
            raise ValueError(
                f"size={size[0]}x{size[1]} must be multiples of {multiple}; choose size=[{height},{width}]"
            )

    @classmethod
    def check_scheduler(cls, config: Mapping[str, Any], who: str) -> str:
        """The prediction type of a scheduler's config. Raises ValueError if this class does not support it.

        who: the scheduler's owner, for the message
        """
        name, said = str(config.get("_class_name")), prediction_type(config)
        flow = "FlowMatch" in name or (said == FLOW and config.get("use_flow_sigmas"))
        if FLOW in cls.predicts and not flow:
            raise ValueError(
                f"{who} has a {name}; a rectified-flow schedule is needed, FlowMatchEulerDiscreteScheduler's, or one "
                f"with prediction_type={FLOW} and use_flow_sigmas=True"
            )
        if FLOW not in cls.predicts and (said == FLOW or "sigma_data" in config or config.get("use_flow_sigmas")):
            raise ValueError(f"{who} has a {name}; a discrete noise schedule is needed, such as DDIMScheduler's")
        if said not in cls.predicts:
            raise ValueError(f"{who} predicts {said!r}; known are {', '.join(cls.predicts)}")
        if flow and not cls.by_size and config.get("use_dynamic_shifting"):
            raise ValueError(
                f"{who} has a {name} with use_dynamic_shifting=True, which a {cls.__name__} of diffusers tells no "
                "size; set it to False, and the shift"
            )
        return said

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        config = self.net.config
        self.check_size(size, config, self.parts.vae.config)
        check_sizes(self.sizes, size)
        return self.channels(config), size[0] // self.factor, size[1] // self.factor

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        names = [name for name in self.parts.components if name.startswith("text_encoder")] if self._release else []
        encoders = [part for name in names if (part := getattr(self.parts, name)) is not None]
        check_words(self.words, [text for text in (*prompts, *negative_prompts) if text is not None])
        for name, part in self.parts.components.items():
            if name.startswith("text_encoder") and part is not None and part.dtype.itemsize == 1:
                raise ValueError(
                    f"the {type(self.parts).__name__}'s {name} is kept in {part.dtype}, to which diffusers would round "
                    f"the encoded text; cast the {self.noun} only"
                )
        for part in encoders:
            part.to(self.device)
        with quiet():  # of prompts that are cut `cut` tells
            conditions = self._text(list(prompts), negative_prompts)
        for part in encoders:
            part.to("cpu")
        return conditions

    @torch.no_grad()
    def start(self, noise: Tensor, cond: Any) -> Tensor:
        return noise if self.npnet is None else self.npnet(noise, cond[0])

    @property
    def reads(self) -> Mapping[str, int]:
        """How many tokens are read of a text, by the tokenizer's name among diffusers' parts."""
        named = {name: part for name, part in self.parts.components.items() if name.startswith("tokenizer")}
        return {name: part.model_max_length for name, part in named.items() if part is not None}

    def cut(self, prompts: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        where = self.attends
        texts = [where.before + where.cleaned(prompt) for prompt in prompts]
        for name, most in self.reads.items() if prompts else ():
            tokenizer = getattr(self.parts, name)
            ids = tokenizer(texts, padding=False, truncation=False, verbose=False).input_ids
            end = most + where.skipped(tokenizer)
            found |= {
                text: min(most, found.get(text, most)) for text, n in zip(prompts, ids, strict=True) if len(n) > end
            }
        return found

    @torch.no_grad()
    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        said: dict[int, Prediction] = {}
        for places in passes(conds):
            first = conds[places[0]]
            with first.alter(Inside(self.net)) if isinstance(first, Altered) else nullcontext():
                answers = self._together(x, node, [unaltered(conds[place]) for place in places])
            said |= dict(zip(places, answers, strict=True))
        return tuple(said[place] for place in range(len(conds)))

    def _together(self, x: Tensor, node: Node, conds: Sequence[Any]) -> Iterator[Prediction]:
        """One prediction per condition, computed in one pass."""
        batch = torch.cat([x] * len(conds)).to(self._dtype)
        time = torch.tensor(node.time, dtype=torch.float32, device=x.device)
        with tapped(self.net, conds, (x.shape[-2], x.shape[-1])):
            output = self._output(batch, time, [untapped(cond) for cond in conds]).to(x.dtype)
        return (self._read(x, node, one) for one in output.chunk(len(conds)))

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        with self._vae() as vae:
            pictures = self._vae_decode(vae, self._unscaled(x.to(vae.dtype)))
        self.parts.maybe_free_model_hooks()  # offloaded parts go back to the CPU
        shown = (checked(pictures.float(), NO_PICTURE) / 2 + 0.5).clamp(0, 1)
        return (shown * 255).round().to("cpu", torch.uint8).movedim(1, -1)

    @torch.no_grad()
    def encode_image(self, pictures: Tensor) -> Tensor:
        x = pictures.to(self.device).movedim(-1, 1) / 127.5 - 1
        with self._vae() as vae:
            found = self._vae_encode(vae, x.to(vae.dtype))
        self.parts.maybe_free_model_hooks()
        return self._scaled(found.float())

    @abstractmethod
    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        """The conditions of the prompts and of the negative prompts."""

    @abstractmethod
    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Any]) -> Tensor:
        """The network's output for a batch (len(conds) * B, C, h, w), in its own dtype."""

    @contextmanager
    def _vae(self) -> Iterator[Any]:
        """The autoencoder, in the dtype that it must compute in for as long as the `with` lasts."""
        vae = self.parts.vae
        own, needed = vae.dtype, self._vae_dtype()
        if needed != own:
            if next(vae.parameters()).dtype != own:  # layerwise casting
                raise ValueError(
                    f"the {type(self.parts).__name__}'s autoencoder must compute in {needed}, but it is cast layer by "
                    f"layer to {own}: enable_layerwise_casting on the {self.noun} only"
                )
            vae.to(needed)
        try:
            yield vae
        finally:
            if needed != own:
                vae.to(own)

    def _vae_decode(self, vae: Any, latents: Tensor) -> Tensor:
        """What the autoencoder makes of latents in its own scale: pictures (B, 3, H, W) in [-1, 1]."""
        return vae.decode(latents, return_dict=False)[0]

    def _vae_encode(self, vae: Any, pictures: Tensor) -> Tensor:
        """The inverse of `_vae_decode`, the mean where the autoencoder has a distribution."""
        return vae.encode(pictures).latent_dist.mean

    def _vae_dtype(self) -> torch.dtype:
        """The dtype that the autoencoder must compute in."""
        return self.parts.vae.dtype

    def _unscaled(self, x: Tensor) -> Tensor:
        """Latents in the autoencoder's scale, from the network's."""
        vae = self.parts.vae.config
        return x / vae.scaling_factor + (vae.get("shift_factor") or 0)

    def _scaled(self, x: Tensor) -> Tensor:
        """Latents in the network's scale, from the autoencoder's."""
        vae = self.parts.vae.config
        return (x - (vae.get("shift_factor") or 0)) * vae.scaling_factor


def factor(vae: Mapping[str, Any]) -> int:
    """Pixels a side of one latent, for an autoencoder of this configuration."""
    return 2 ** (len(vae["block_out_channels"]) - 1)


def prediction_type(scheduler: Mapping[str, Any]) -> str:
    """The prediction type of a scheduler's config, which has `_class_name`."""
    return FLOW if "FlowMatch" in str(scheduler.get("_class_name")) else scheduler.get("prediction_type", "epsilon")


__all__ = ["FLOW", "READ", "LatentPipeline", "Text", "factor", "prediction_type"]
