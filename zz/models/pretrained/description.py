"""Descriptions of models that diffusers loads: the locations of their parts, and checks of their configurations.

diffusers is imported only when a model is opened.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import as_tuple, check_choice, check_number, check_text
from zz.hub.files import WEIGHTS, digest, file_digest, resolve, weights
from zz.hub.location import Location, find
from zz.hub.single import place
from zz.models.base import PRECISIONS, Card, Model
from zz.models.pretrained import lora
from zz.models.pretrained.known import check_sizes, check_words, known_sizes, known_words
from zz.models.pretrained.pipeline import LatentPipeline, prediction_type
from zz.models.pretrained.quiet import quiet


@dataclass(frozen=True)
class Savings:
    """Options that need less memory and more time. Only tiling changes numbers, and is part of the identity.

    slicing: decode one picture at a time
    tiling:  decode in overlapping tiles
    offload: parts stay on the CPU and are moved to the GPU one at a time; needs accelerate
    release: text encoders leave the GPU while nothing is encoded
    """

    slicing: bool = False
    tiling: bool = False
    offload: bool = False
    release: bool = False


@dataclass(frozen=True)
class Pretrained(Model):
    """Any folder or hub repository for diffusers' pipeline class `kind`.

    pretrained: a folder, a hub id, or zz:NAME for one that is included in zz
    revision:   the hub's branch, tag or commit; None: the main branch
    mirrors:    hub ids (ID or ID@REVISION), tried in order where `pretrained` is not available
    variant:    of the weights, such as fp16; parts without it are loaded in full precision
    vae:        a folder or hub id (ID or ID@REVISION) whose autoencoder replaces the model's own
    lora:       a folder, a .safetensors file in one, or a hub id (ID or ID@REVISION, with /FILE.safetensors if it has
                several) of a LoRA that is added to the weights of the network and the text encoders; needs peft
    lora_scale: factor of the LoRA's weights: 1 as trained, 0 none, negative: subtracted
    lora_layers: which of its layers act: `all`, or those of the `network` only, as in W2SD's code, which encodes the
                prompt without it
    prediction_type: what the scheduler's configuration must say: epsilon, v_prediction or flow_prediction; None: any
    gamma1, steps, size, batch_size: recommended
    """

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]  # that are loaded; other files of a folder are not read
    without: ClassVar[Mapping[str, Any]]  # arguments of from_pretrained that leave parts out
    pipeline: ClassVar[type[LatentPipeline]]  # the class of the open model
    becomes: ClassVar[str | None] = None  # the diffusers class that it is opened as; None: `kind`
    takes_lora: ClassVar[bool] = True  # whether diffusers can load one
    classes: ClassVar[Mapping[str, str]] = {"vae": "AutoencoderKL"}  # of parts that a field can replace
    full: ClassVar[tuple[str, ...]] = ()  # parts that are loaded in float32 at any precision

    pretrained: str
    revision: str | None = None
    mirrors: tuple[str, ...] = ()
    variant: str | None = None
    vae: str | None = None
    lora: str | None = None
    lora_scale: float = 1.0
    lora_layers: Literal["all", "network"] = "all"
    prediction_type: str | None = None
    gamma1: float = 5.5
    steps: int = 50
    size: tuple[int, int] = (512, 512)
    batch_size: int = 4
    savings: Savings = field(default_factory=Savings)
    card: Card = field(default_factory=Card)
    name: str = "pretrained"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "mirrors", as_tuple(self.mirrors))
        for name in ("pretrained", "revision", "variant", "prediction_type", *self.classes):
            value = getattr(self, name)
            check_text(f"model.{name}", str(value) if isinstance(value, Path) else value)
        for mirror in self.mirrors:
            check_text("model.mirrors", mirror)
        for name in ("pretrained", *self.classes):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, resolve(getattr(self, name)))
        check_number("model.lora_scale", self.lora_scale)
        object.__setattr__(self, "lora_scale", float(self.lora_scale))
        check_choice("model.lora_layers", self.lora_layers, ("all", "network"))
        if self.lora is not None and (not isinstance(self.lora, str) or not self.lora):
            raise ValueError(f"model.lora={self.lora!r} must be a folder, a .safetensors file, a hub id, or null")
        if self.lora is not None and not self.takes_lora:
            raise ValueError(f"model.lora={self.lora}: diffusers loads none into a {self.kind}; choose model.lora=null")
        if self.lora is None and self.lora_scale not in (0, 1):
            raise ValueError(f"model.lora_scale={self.lora_scale:g} has nothing to scale; give model.lora too")

    @property
    def fused_lora(self) -> str | None:
        """The LoRA, unless its scale is 0."""
        return self.lora if self.lora_scale else None

    @property
    def watchable(self) -> bool:
        return True

    def asked(self, legs: Collection[Leg]) -> Model:
        return self if self.fused_lora else replace(self, lora=None, lora_scale=1.0, lora_layers="all")

    def identity(self) -> Mapping[str, Any]:
        """Digests of file contents, so that files can be moved, or come from a mirror, without a change of identity."""
        folders = self._folders()
        found: dict[str, Any] = {
            "pipeline": self.kind,
            "weights": digest(self.home().root, tuple(folders), folders, self.variant),
        }
        if self.fused_lora:
            found["lora"] = {"weights": file_digest(lora.find(self.fused_lora)[1]), "scale": self.lora_scale}
            found["lora"] |= {"layers": "network"} if self.lora_layers == "network" else {}
        return found | {"version": 1} | ({"tiling": True} if self.savings.tiling else {})

    def source(self) -> Mapping[str, Any]:
        home = self.home()
        found = {"pretrained": home.repo or home.name, "commit": home.commit}
        for part in self.classes:
            if getattr(self, part):
                at, _ = self.location(part)
                found[part] = f"{at.repo}@{at.commit}" if at.repo else at.name
        if self.fused_lora:
            found["lora"] = place(*lora.find(self.fused_lora))
        return found

    def noise_levels(self) -> tuple[Levels, Schedule]:
        return self.pipeline.noise_levels(
            *(self.config_of(part) for part in ("scheduler", self.pipeline.network, "vae"))
        )

    def check_nodes(self, nodes: Nodes) -> None:
        said = prediction_type(self.config_of("scheduler"))
        if said == "epsilon" and any(node.alpha == 0 for node in nodes[:-1]):
            raise ValueError(
                f"model.pretrained={self.home().name} says prediction_type=epsilon and rescale_betas_zero_snr=True in "
                "its scheduler_config.json, and the schedule begins where there is no signal, of which eps says "
                "nothing: choose schedule=leading, or mend the file if the network says v_prediction"
            )

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"runner.precision={precision} is not known; known are {', '.join(PRECISIONS)}")
        home = self.home()
        found = home.read("model_index.json").get("_class_name")
        if found != self.kind:
            raise ValueError(f"model.pretrained={self.pretrained} is a {found}, not a {self.kind}")
        pipeline, scheduler = self.pipeline, self.config_of("scheduler")
        said = pipeline.check_scheduler(scheduler, f"model.pretrained={home.name}")
        if self.prediction_type not in (None, said):
            raise ValueError(
                f"model.pretrained={home.name} says prediction_type={said}, but model.prediction_type="
                f"{self.prediction_type} is expected: it is another model, or its scheduler_config.json is wrong; "
                "model.prediction_type=null takes it at its word"
            )
        network, vae = self.config_of(pipeline.network), self.config_of("vae")
        if given := getattr(self, pipeline.network):
            own = home.read(f"{pipeline.network}/config.json")
            for width in pipeline.widths:
                if own.get(width) != network.get(width):
                    raise ValueError(
                        f"model.{pipeline.network}={given} reads text of width {network.get(width)}, but this model's "
                        f"has {own.get(width)}"
                    )
        if pipeline.depth(vae) != pipeline.channels(network):
            what = f"model.vae={self.vae}" if self.vae else f"model.pretrained={home.name}"
            raise ValueError(
                f"{what} has latents of {pipeline.depth(vae)} channels, but the {pipeline.noun} reads "
                f"{pipeline.channels(network)}"
            )
        pipeline.check_network(network, vae, f"model.pretrained={home.name}")
        for part, config in ((pipeline.network, network), ("vae", vae)):
            wanted = self.classes.get(part)
            if wanted and config.get("_class_name", wanted) != wanted:
                at = self.location(part)[0]
                raise ValueError(f"{at.field}={at.name} has a {part} of class {config['_class_name']}, not {wanted}")
        pipeline.check_size(size, network, vae)
        check_sizes(known_sizes(home.root), size)
        check_words(known_words(home.root), prompts)
        if self.fused_lora:
            lora.check(self.fused_lora)

    @contextmanager
    def open(self, device: str = "cpu", precision: str = "32") -> Iterator[LatentPipeline]:
        self.check(self.size, (), precision)
        if self.savings.offload and torch.device(device).type == "cpu":
            raise ValueError("model.savings.offload=true needs a GPU to visit; leave it false on a CPU")
        if self.savings.offload and find_spec("accelerate") is None:
            raise ValueError(
                "model.savings.offload=true needs accelerate, which is not installed: pip install accelerate"
            )
        with quiet():
            loaded = self._load(PRECISIONS[precision])
            if self.fused_lora:
                lora.fuse(loaded, self.fused_lora, self.lora_scale, self.lora_layers == "all")
        if self.savings.slicing:
            loaded.vae.enable_slicing()
        if self.savings.tiling:
            loaded.vae.enable_tiling()
        if self.savings.offload:
            loaded.enable_model_cpu_offload(device=device)
        else:
            loaded.to(device)
        pipeline = self._opened(loaded)
        pipeline.words, pipeline.sizes = known_words(self.home().root), known_sizes(self.home().root)
        yield pipeline

    def _opened(self, loaded: Any) -> LatentPipeline:
        """Our pipeline over the loaded diffusers pipeline."""
        return self.pipeline(loaded, self.size, self.savings.release)

    def _load(self, dtype: torch.dtype) -> Any:
        import diffusers

        home, folders = self.home(), self._folders()
        given = {part: name for part in self.classes if (name := getattr(self, part))}
        dtypes = {"default": dtype, **dict.fromkeys(self.full, torch.float32)}
        at, loaded = "", {}
        try:
            for part, name in given.items():
                at, variant = f"model.{part}={name}", self.held_variant([folders[part]])
                kind = getattr(diffusers, self.classes[part])
                one = dtypes.get(part, dtype)
                loaded[part] = kind.from_pretrained(folders[part], variant=variant, dtype=one)
            at, variant = (
                f"model.pretrained={home.name}",
                self.held_variant(f for p, f in folders.items() if p not in given),
            )
            whole = getattr(diffusers, self.becomes or self.kind)
            return whole.from_pretrained(home.root, variant=variant, dtype=dtypes, **self.left_out, **loaded)
        except Exception as error:  # any that the loaders of its parts raise
            said = str(error).split("\n")[0]
            raise ValueError(
                f"{at} cannot be loaded: {said}; if a copy was cut short, delete it and run again"
            ) from error

    @property
    def kept(self) -> tuple[str, ...]:
        """The parts that are loaded."""
        return self.parts

    @property
    def left_out(self) -> Mapping[str, Any]:
        """Arguments of from_pretrained that leave parts out."""
        return self.without

    def home(self) -> Location:
        """The location of `pretrained`."""
        return find("model.pretrained", self.pretrained, ("model_index.json",), self.revision, self.mirrors)

    def location(self, part: str) -> tuple[Location, str]:
        """The location of a part, and the subfolder that holds it."""
        given = getattr(self, part) if part in self.classes else None
        if given is None:
            return self.home(), part
        found = find(f"model.{part}", given, (f"{part}/config.json", "config.json"))
        return found, found.inside

    def config_of(self, part: str) -> Mapping[str, Any]:
        """A part's configuration, without its weights."""
        location, inside = self.location(part)
        return location.read(f"{inside}/{'scheduler_config' if part == 'scheduler' else 'config'}.json".lstrip("/"))

    def _folders(self) -> dict[str, Path]:
        """The folder of each part, downloaded from the hub if necessary."""
        found = {}
        for part in self.kept:
            location, inside = self.location(part)
            found[part] = location.bring(inside, self.variant)
        if self.variant and not self.held_variant(found.values()):
            raise ValueError(
                f"model.variant={self.variant} is not among the weights of {self.pretrained}; choose model.variant=null"
            )
        return found

    def held_variant(self, folders: Iterable[Path]) -> str | None:
        """The variant, if any of the folders has weights of it; otherwise None."""
        names = (name for folder in folders for name in weights((p.name for p in folder.glob("*")), self.variant))
        return (
            self.variant if any((m := WEIGHTS.fullmatch(n)) and m["variant"] == self.variant for n in names) else None
        )


def two_sides(name: str, value: Any) -> tuple[int, int]:
    """A field's value as a pair of pixels. Raises ValueError on anything else."""
    both = tuple(value) if isinstance(value, list | tuple) else ()
    if len(both) != 2 or not all(type(n) is int and n >= 0 for n in both):
        raise ValueError(f"model.{name}={value} must be two whole numbers of pixels, as in [0,0]")
    return both


__all__ = ["Pretrained", "Savings", "two_sides"]
