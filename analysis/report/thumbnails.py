"""Small pictures for inside a page: each once, as WebP, lossless where it is small as it is."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from zz.lab.store.store import Store, StoreError
from zz.lab.strip import frames

SIDE = 192  # pixels, of the longer side at most
CHUNK = 500  # pictures that the page unpacks at once


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

    def add(self, cell: str, name: str, n: int = 1) -> int | None:
        """The number of a picture's thumbnail, or of the middle one of its n frames; None if it cannot be read."""
        key = cell, name
        if key in self.problems:
            return None
        if key not in self.made:
            try:
                clip = frames(self.store.image(self.store.cell(cell)[0], name), n)
            except StoreError as error:
                self.problems[key] = str(error)
                return None
            text = base64.b64encode(webp(clip[len(clip) // 2])).decode()
            self.made[key] = len(self.texts)
            self.texts.append(text)
            self.size += len(text)
        return self.made[key]

    def chunks(self) -> Iterator[Sequence[str]]:
        """All of them, CHUNK at a time."""
        for first in range(0, len(self.texts), CHUNK):
            yield self.texts[first : first + CHUNK]


def webp(image: Image.Image) -> bytes:
    """A picture as WebP; one of more than SIDE pixels is made smaller, and loses what does not show."""
    found = image.convert("RGB")
    small = max(found.size) <= SIDE
    if not small:
        found.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    found.save(out, "WEBP", lossless=small, quality=75, method=2)
    return out.getvalue()


__all__ = ["CHUNK", "SIDE", "Thumbnails", "webp"]
