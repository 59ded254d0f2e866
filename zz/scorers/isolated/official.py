"""A score by the authors' own package, which runs in a worker process with an environment of its own.

To set beside the scorers of zz itself; the environment is made by `python -m zz.scorers.isolated NAME`.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from PIL import Image

from zz.data.base import Prompt
from zz.diffusion.validate import Range
from zz.hub.published import Published
from zz.scorers.base import ImageScorer, Incomplete, Needs, Score
from zz.scorers.isolated import environments
from zz.scorers.isolated.host import Host, Unanswered

Seconds = Annotated[float, Range(0.01)]


@dataclass(frozen=True)
class Official(ImageScorer):
    """What a package says of a picture and its prompt, times `scale`.

    package: hpsv2 or image_reward, with the versions in envs/
    files:   that the worker is given, in order: the checkpoint, and what else the package would download
    scale:   as of zz's own scorer, to be compared with it
    folder:  of the environment; None: below ~/.cache/zz/envs
    silence: seconds without a sign of life after which the worker is started anew
    limit:   seconds for an answer
    """

    package: Literal["hpsv2", "image_reward"]
    files: tuple[Published, ...]
    scale: float = 100.0
    folder: str | None = None
    silence: Seconds = 60.0
    limit: Seconds = 300.0
    name: str = "official"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "files", tuple(self.files))

    @property
    def unit(self) -> str:
        return f"{self.scale:g} {'cos' if self.package == 'hpsv2' else 'reward'}"

    @property
    def needs(self):
        try:
            environments.command(self.package, self.folder)
        except ValueError as error:
            return Needs(files=self.files, environment=str(error))
        return Needs(files=self.files)

    def settings(self):
        return {
            **{"package": self.package, "environment": environments.digest(self.package)},
            **{"files": [file.source for file in self.files], "scale": self.scale},
        }

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        at = f"scorers.{self.name}"
        command = environments.command(self.package, self.folder)
        command += [str(file.fetch(f"{at}.files")) for file in self.files]
        host = Host(self.name, command, environments.variables(device), self.silence, self.limit)
        with host.running(), tempfile.TemporaryDirectory() as folder:
            yield asking(host, Path(folder), self.scale)


def asking(host: Host, folder: Path, scale: float) -> Score:
    """A `Score` by a worker, which is given the pictures as files in `folder`."""

    def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
        requests = []
        for n, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
            path = folder / f"{n}.png"
            image.save(path, compress_level=1)
            requests.append({"picture": str(path), "prompt": prompt.text})
        try:
            return [scale * number(x) for x in host.ask(requests)]
        except Unanswered as error:
            raise Incomplete([scale * number(x) for x in error.answers], str(error)) from error

    return score


def number(answer: Any) -> float:
    """An answer as a number; nan for what is none."""
    good = isinstance(answer, int | float) and not isinstance(answer, bool)
    return float(answer) if good else math.nan


__all__ = ["Official", "asking", "number"]
