"""A contact sheet: the same prompts and seeds, side by side, row by row; of a clip, its middle frame."""

import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zz.lab.job import Job
from zz.lab.store.store import Store
from zz.lab.strip import frames

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
PICTURE, LABEL, GAP, LINE = 136, 190, 8, 15
RIGHT, WRONG = "#0072b2", "#d55e00"  # told apart by colour-blind eyes; the mark says the same


def contact_sheet(
    columns: Sequence[tuple[str, Job]],
    store: Store,
    rows: int = 8,
    verdicts: Mapping[str, Mapping[str, bool]] | None = None,
) -> Path | None:
    """Write a sheet with one column a row of the run and one line a prompt; None if no prompt is in every column.

    A row without any picture has no column.

    verdicts: by row and picture, whether it is right: marked on the sheet

    Raises StoreError on a picture that cannot be read.
    """
    there = [store.there(job.cell, job.names()) for _, job in columns]
    columns = [column for column, names in zip(columns, there, strict=True) if names]
    if not columns:
        return None
    first = columns[0][1]
    common = set.intersection(*map(set, filter(None, there)))
    shown = [p for p, name in zip(first.pictures, first.names(), strict=True) if name in common]
    shown = shown[:: max(1, len(shown) // rows)][:rows]  # spread over the set
    if not shown:
        return None
    font = ImageFont.load_default(size=13)
    step = PICTURE + GAP
    titles = [_wrap(title, 17) for title, _ in columns]
    head = GAP + LINE * max(5, *map(len, titles)) + 1  # a row is told from others by any of its words
    sheet = Image.new("RGB", (LABEL + step * len(columns) + GAP, head + step * len(shown) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for c, (lines, (_, job)) in enumerate(zip(titles, columns, strict=True)):
        _write(draw, (LABEL + c * step, 6), lines, font)
        for r, one in enumerate(shown):
            clip = frames(store.image(job.cell, one.name), job.model.frames)
            picture = clip[len(clip) // 2]
            picture.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
            if max(picture.size) < PICTURE:  # small pictures grow by whole pixels
                times = PICTURE // max(picture.size)
                picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
            at = (LABEL + c * step, head + r * step)
            sheet.paste(picture, at)
            right = (verdicts or {}).get(job.id, {}).get(one.name)
            if right is not None:
                _mark(draw, (at[0] + picture.width, at[1]), right)
    for r, one in enumerate(shown):
        seed = f"seed {one.seed}"
        _write(draw, (8, head + r * step + 4), [*_wrap(one.prompt.text, 26)[: PICTURE // LINE - 1], seed], font)
    asked = [job.cell.key for _, job in columns] + [one.name for one in shown]
    name = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    return store.put_sheet(name, sheet)


def _mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], right: bool) -> None:
    """A tick or a cross in the picture's upper right corner."""
    x, y = corner[0] - 22, corner[1] + 4
    draw.rectangle((x - 2, y - 2, x + 18, y + 18), fill="white")
    if right:
        draw.line((x + 1, y + 9, x + 6, y + 14, x + 15, y + 2), fill=RIGHT, width=3)
    else:
        draw.line((x + 2, y + 2, x + 14, y + 14), fill=WRONG, width=3)
        draw.line((x + 14, y + 2, x + 2, y + 14), fill=WRONG, width=3)


def _wrap(text: str, width: int) -> list[str]:
    return [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str], font: Font) -> None:
    draw.multiline_text(at, "\n".join(lines), fill="black", font=font, spacing=2)
