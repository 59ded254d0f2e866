"""A whole page: the manifests of a store as sections of one HTML file, and the pictures that go inside it."""

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

import zz
from zz.analysis.plots import style
from zz.analysis.render import frame
from zz.analysis.report import cells, data, figures, tables
from zz.analysis.report.differences import ALL_PAIRS, Difference, all_pairs, differences
from zz.analysis.report.places import Board, board
from zz.analysis.report.thumbnails import CHUNK, EXACT, Picture, Thumbnails
from zz.lab.record import revision
from zz.lab.results import Results
from zz.lab.store.store import Store
from zz.lab.view import (
    CONTRADICTED,
    DIFFERS,
    HOLDS,
    NO_STAND_IN,
    NOT_RUN,
    REPRODUCED,
    UNDECIDED,
    WITHIN,
    View,
)

AT_ONCE = 256  # pictures that are made small at once
FILES = Path(__file__).resolve().parent / "files"
STATUSES = {  # of a verdict: its colour, told apart by colour-blind eyes, and a symbol that says the same
    HOLDS: (style.GREEN, "\u2713"),
    REPRODUCED: (style.GREEN, "\u2713"),
    WITHIN: (style.SKY, "\u2248"),
    UNDECIDED: (style.ORANGE, "?"),
    CONTRADICTED: (style.RED, "\u2717"),
    DIFFERS: (style.RED, "\u2260"),
    NOT_RUN: ("#7d8b8c", "\u2013"),
    NO_STAND_IN: ("#7d8b8c", "\u2013"),
}


@dataclass(frozen=True)
class Part:
    """A manifest to be shown.

    view:     of its experiment, where that has one
    remarks:  what the reader should know of it
    commands: by row, the commands that make it: of its experiment, and of it alone
    """

    results: Results
    view: View | None = None
    remarks: tuple[str, ...] = ()
    commands: Mapping[str, Sequence[str]] | None = None


class Limits(NamedTuple):
    """What a page holds at most.

    pairs: of pictures of two rows
    size:  bytes of thumbnails
    """

    pairs: int = 2000
    size: int = 50_000_000


@dataclass(frozen=True)
class Chapter:
    """A part with all that is read of the store for it."""

    part: Part
    facts: Sequence[cells.RowFacts]
    board: Board
    differences: Sequence[Difference]
    order: Sequence[int]  # of the places that have a picture, the most telling ones first
    kept: int  # of these

    def pictures(self, place: int) -> list[Picture]:
        """Those of all rows at a place."""
        both = zip(self.facts, self.board.names, strict=True)
        return [Picture(about.row.cell, name, about.frames) for about, names in both if (name := names[place])]

    @property
    def left_out(self) -> int:
        """Places whose pictures are not inside the page."""
        return len(self.order) - self.kept


class Page(NamedTuple):
    """A page, ready to be written where its links lead from."""

    store: Store
    chapters: Sequence[Chapter]
    problems: Sequence[str]
    context: Mapping[str, Any]

    def html(self, root: str) -> str:
        """The file's text; `root`: where the cells' folders are, as a link from the page."""
        found = Environment(loader=FileSystemLoader(FILES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
        found.globals.update(file=_file, dumped=lambda x: Markup(data.dumped(x)), shown=frame.shown)
        return found.get_template("page.html").render({**self.context, "root": root})

    def write(self, path: Path) -> int:
        """Write it, its links relative to where it lies; return its bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        target = self.store.root / "cells"
        try:
            root = quote(Path(os.path.relpath(target, path.resolve().parent)).as_posix())
        except ValueError:  # on another drive
            root = target.as_uri()
        return _write(path, self.html(root))

    def bundle(self, folder: Path, name: str) -> int:
        """Write it under that name into a folder with every full picture that it shows; return its bytes."""
        for chapter in self.chapters:
            for place in chapter.order[: chapter.kept]:
                for picture in chapter.pictures(place):
                    self._copy(picture, folder)
        folder.mkdir(parents=True, exist_ok=True)
        return _write(folder / name, self.html("cells"))

    def _copy(self, picture: Picture, folder: Path) -> None:
        cell = self.store.cell(picture.cell)[0]
        source, target = self.store.origin(cell, picture.name), self.store.image_path(cell, picture.name)
        copy = folder / target.relative_to(self.store.root)
        if source.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def page(store: Store, parts: Sequence[Part], against: str, limits: Limits, problems: Sequence[str] = ()) -> Page:
    """The page of these manifests.

    against:  the role of the control that a row is set beside at first
    problems: manifests that cannot be read, and why
    """
    chapters = [_chapter(part, against, limits.pairs) for part in parts]
    thumbnails = Thumbnails(store)
    chapters = _filled(chapters, thumbnails, limits.size)
    pool, sets = data.Pool(), []
    for one in chapters:
        kept = sorted(one.order[: one.kept])
        sets.append(data.record_of(one.part.results, one.facts, one.board, kept, one.differences, pool, thumbnails))
    sections = [_section(number, chapter) for number, chapter in enumerate(chapters)]
    copied = {one["id"]: one["sheet"].copies for section in sections for one in section["sheets"]}
    copied |= {section["rows_id"]: section["copies"] for section in sections}
    seen = set[tuple[str, ...]]()
    for section in sections:
        lacking = {(about.row.id, *about.missing): about for about in section["lacking"]}
        section["named"] = [about for key, about in lacking.items() if key not in seen]
        seen |= lacking.keys()
    said = [*problems, *thumbnails.problems.values()]
    context = {
        "title": f"zz report: {store.root.name}",
        "made": _made(),
        "sections": sections,
        "problems": said,
        "statuses": STATUSES,
        "against": against,
        "record": pool.record() | {"sets": sets, "against": against, "chunk": CHUNK, "exact": EXACT},
        "chunks": list(thumbnails.chunks()),
        "copied": copied,
        "forms": tables.FORMS,
        "all_pairs": ALL_PAIRS,
        "most": cells.SHOWN,
    }
    return Page(store, chapters, said, context)


def _chapter(part: Part, against: str, pairs: int) -> Chapter:
    facts = cells.facts(part.results, against)
    found = board(part.results, [about.there for about in facts])
    order = found.most_apart()
    return Chapter(part, facts, found, differences(part.results), order, min(pairs, len(order)))


def _filled(chapters: Sequence[Chapter], thumbnails: Thumbnails, most: int) -> list[Chapter]:
    """Make the thumbnails, a place of every chapter at a time, until they are `most` bytes; the rest is left out."""
    kept, waiting = [0] * len(chapters), list[Picture]()
    for rank in range(max((chapter.kept for chapter in chapters), default=0)):
        for i, chapter in enumerate(chapters):
            if rank < chapter.kept and thumbnails.size < most:
                waiting += chapter.pictures(chapter.order[rank])
                kept[i] = rank + 1
                if len(waiting) >= AT_ONCE:
                    thumbnails.add(waiting)
                    waiting.clear()
    thumbnails.add(waiting)
    return [replace(chapter, kept=n) for chapter, n in zip(chapters, kept, strict=True)]


def _section(number: int, chapter: Chapter) -> dict[str, Any]:
    """A chapter as the template reads it."""
    results, view = chapter.part.results, chapter.part.view
    shown = list(view.tables) if view else [tables.of_comparisons(results.comparisons(True))]
    rows = frame.frame(results)
    return {
        "number": number,
        "id": re.sub(r"[^\w.-]", "-", results.manifest.id),
        "manifest": results.manifest,
        "title": view.title if view else results.manifest.name,
        "view": view,
        "remarks": chapter.part.remarks,
        "sheets": [{"id": f"t{number}-{i}", "sheet": tables.sheet(one)} for i, one in enumerate(shown) if one.lines],
        "figures": [
            {"caption": one.caption, "html": figures.inline(one, f"f{number}-{i}")}
            for i, one in enumerate(view.figures if view else ())
        ],
        "rows_id": f"r{number}",
        "metrics": results.metrics,
        "copies": tables.copies(rows.astype(object), f"{results.manifest.name}: rows"),
        "rows": [
            {
                "facts": about,
                "means": [
                    results.mean(about.row, name) if name in (about.row.scorers or {}) else None
                    for name in results.metrics
                ],
                "commands": (chapter.part.commands or {}).get(about.row.id, ()),
            }
            for about in chapter.facts
        ],
        "all_pairs": all_pairs(results),
        "pairs": chapter.kept,
        "left_out": chapter.left_out,
        "lacking": [about for about in chapter.facts if about.lacks],
    }


def _made() -> str:
    """By what and when a page was made."""
    at = revision()
    commit = f"commit {at['revision'][:12]}{' with changes' if at['dirty'] else ''}" if at else f"zz {zz.__version__}"
    return f"{commit}, {time.strftime('%Y-%m-%d %H:%M')}"


def _file(name: str) -> Markup:
    """A style sheet or script, as it is."""
    return Markup((FILES / name).read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> int:
    found = text.encode("utf-8", "backslashreplace")
    path.write_bytes(found)
    return len(found)


__all__ = ["Limits", "Page", "Part", "page"]
