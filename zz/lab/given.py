"""Pictures that were not made here, as a row beside those that were."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zz.data.base import Picture, PromptList
from zz.data.gallery import Gallery
from zz.lab.cell import Cell, row_id
from zz.lab.store.store import Store


@dataclass(frozen=True)
class Given:
    """A row of pictures from elsewhere, known by the name that it was given."""

    cell: Cell
    prompts: PromptList
    limit: None = None
    frames: int = 1

    @classmethod
    def of(cls, name: str, prompts: PromptList) -> "Given":
        """The row of that name over these prompts, which name their pictures' files."""
        return cls(Cell.of(pictures={"is": "Given", "name": name}), prompts)

    @cached_property
    def id(self) -> str:
        """The row's name."""
        return row_id(self.cell.key, self.prompts.digest)

    @property
    def pictures(self) -> list[Picture]:
        """Every picture that there should be."""
        return self.prompts.pictures()

    def names(self) -> list[str]:
        """The names of its pictures, in order."""
        return self.prompts.names()


def take(gallery: Gallery, name: str, store: Store) -> Given:
    """Link a gallery's pictures into the store, as a row. What is there already is left as it is."""
    given = Given.of(name, gallery.prompts)
    store.begin(given.cell, {"model": "given", "predictions": 0, "evals": 0})
    for picture, path in zip(given.pictures, gallery.paths, strict=True):
        if path is not None:
            store.link_image(given.cell, picture.name, Path(path))
    return given


__all__ = ["Given", "take"]
