"""Small pictures for inside a page: each once, as WebP, without loss where it is small as it is."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from PIL import Image

from zz.lab.store.store import Store, StoreError
from zz.lab.strip import frames

SIDE = 192  # pixels, of the longer side at most
EXACT = 48  # pixels, up to which nothing is lost
CHUNK = 500  # pictures that the page unpacks at once


class Picture(NamedTuple):
    """A picture of a cell; of a clip that has several frames the middle one is shown."""

    cell: str
    name: str
    frames: int = 1


@dataclass
class Thumbnails:
    """Those made so far, by cell and picture.

    problems: pictures that cannot be read, and why
    """

    store: Store
    made: dict[tuple[str, str], int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    problems: dict[tuple[str, str], str] = field(default_factory=dict)
    size: int = 0  # bytes of all texts

    def add(self, wanted: Iterable[Picture]) -> None:
        """Make those that are not there yet, several at once."""
        new = [one for one in dict.fromkeys(wanted) if one[:2] not in self.made and one[:2] not in self.problems]
        with ThreadPoolExecutor() as pool:
            for one, found in zip(new, pool.map(self._small, new), strict=True):
                if isinstance(found, StoreError):
                    self.problems[one[:2]] = str(found)
                    continue
                self.made[one[:2]] = len(self.texts)
                self.texts.append(found)
                self.size += len(found)

    def _small(self, one: Picture) -> str | StoreError:
        try:
            clip = frames(self.store.image(self.store.cell(one.cell)[0], one.name), one.frames)
        except StoreError as error:
            return error
        return base64.b64encode(webp(clip[len(clip) // 2])).decode()

    def chunks(self) -> Iterator[Sequence[str]]:
        """All of them, CHUNK at a time."""
        for first in range(0, len(self.texts), CHUNK):
            yield self.texts[first : first + CHUNK]


def webp(image: Image.Image) -> bytes:
    """A picture as WebP: exactly, or of more than EXACT pixels nearly; one of more than SIDE is made smaller."""
    found, out = image.convert("RGB"), io.BytesIO()
    found.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3)
    found.save(out, "WEBP", lossless=max(image.size) <= EXACT, quality=75, method=2)
    return out.getvalue()


__all__ = ["CHUNK", "EXACT", "SIDE", "Picture", "Thumbnails", "webp"]
