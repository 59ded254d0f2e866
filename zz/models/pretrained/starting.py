"""Models whose starting noise a network may choose by the prompt: NPNet, of Golden Noise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from zz.diffusion.validate import check_text
from zz.hub.files import file_digest
from zz.hub.location import Location
from zz.hub.single import Single, named, place
from zz.models import npnet
from zz.models.base import Model
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import LatentPipeline, factor


@dataclass(frozen=True)
class GoldenStart(Pretrained):
    """Fields as in `Pretrained`, and

    npnet: a file, or one of the hub (ID/FILE or ID@REVISION/FILE), of an NPNet, which maps the starting noise
    """

    published: ClassVar[str]  # the checkpoint that was trained with this architecture

    npnet: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("model.npnet", str(self.npnet) if isinstance(self.npnet, Path) else self.npnet)
        object.__setattr__(self, "npnet", None if self.npnet is None else str(self.npnet))

    def identity(self) -> Mapping[str, Any]:
        found = super().identity()
        return found if self.npnet is None else {**found, "npnet": file_digest(self._file(self.npnet)[1])}

    def source(self) -> Mapping[str, Any]:
        found = super().source()
        return found if self.npnet is None else {**found, "npnet": place(*self._file(self.npnet))}

    def as_leg(self) -> Model:
        return replace(self, npnet=None)

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        super().check(size, prompts, precision)
        if self.npnet is not None:
            self.check_npnet(self.npnet, size)

    def check_npnet(self, name: str, size: tuple[int, int]) -> None:
        """Raise ValueError if it maps no noise of this size or model, as far as that can be seen without a download."""
        height, width = (side * factor(self.config_of("vae")) for side in npnet.SHAPE[1:])
        if tuple(size) != (height, width):
            raise ValueError(
                f"size={size[0]}x{size[1]}: model.npnet={name} maps the noise of {height}x{width} pixels only; choose "
                f"size=[{height},{width}] or model.npnet=null"
            )
        if path := self.npnet_here(name):
            with self._fitting(name):
                npnet.check_width(npnet.read(path), self._width())

    def npnet_here(self, name: str) -> Path | None:
        """The file; None if it must be downloaded. Downloads nothing; raises ValueError if there is none."""
        one = self._single(name)
        return one.cached() if one.hub else one.find()[1]

    def npnet_command(self, name: str) -> str:
        """The shell command that downloads the file."""
        return self._single(name).command()

    @contextmanager
    def open(self, device: str = "cpu", precision: str = "32") -> Iterator[LatentPipeline]:
        net = None
        if self.npnet is not None:
            with self._fitting(self.npnet):
                net = npnet.load(self._file(self.npnet)[1], self._width())
        with super().open(device, precision) as pipeline:
            pipeline.npnet = net and net.to(pipeline.device)
            yield pipeline

    def _single(self, name: str) -> Single:
        one = named("model.npnet", name)
        if not one.hub and not Path(name).is_file():
            raise ValueError(
                f"model.npnet={name} is neither a file that is there nor a hub id with a file, such as {self.published}"
            )
        return one

    def _file(self, name: str) -> tuple[Location, Path]:
        return self._single(name).find()

    def _width(self) -> int:
        """Of the tokens that it reads: the first of the network's."""
        return int(self.config_of(self.pipeline.network)[self.pipeline.widths[0]])

    @contextmanager
    def _fitting(self, name: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"model.npnet={name} is no NPNet for a {self.kind}: {error}; give one that was trained with it, such "
                f"as {self.published}, or null"
            ) from error


__all__ = ["GoldenStart"]
