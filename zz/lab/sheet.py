"""A contact sheet: the same prompts and seeds, side by side, cell by cell; of a clip, its middle frame."""

import hashlib
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zz.lab.clips import frames
from zz.lab.planner import Job
from zz.lab.store import Store

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
PICTURE, LABEL, HEAD, GAP = 136, 190, 84, 8


def contact_sheet(columns: Sequence[tuple[str, Job]], store: Store, rows: int = 8) -> Path | None:
    """Write a sheet with one column a cell and one row a prompt; None if no prompt is in every column.

    Raises StoreError on a picture that cannot be read.
    """
    if not columns:
        return None
    common = set.intersection(*(store.images(job.cell) for _, job in columns))
    first = columns[0][1]
    indices = sorted(i for i in common if i < min(job.wanted for _, job in columns))
    indices = indices[:: max(1, len(indices) // rows)][:rows]  # spread over the set
    if not indices:
        return None
    font = ImageFont.load_default(size=13)
    step = PICTURE + GAP
    sheet = Image.new("RGB", (LABEL + step * len(columns) + GAP, HEAD + step * len(indices) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for c, (title, job) in enumerate(columns):
        _write(draw, (LABEL + c * step, 6), title, 17, font)
        for r, i in enumerate(indices):
            clip = frames(store.image(job.cell, i), job.model.frames)
            picture = clip[len(clip) // 2]
            picture.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
            if max(picture.size) < PICTURE:  # small pictures grow by whole pixels
                times = PICTURE // max(picture.size)
                picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
            sheet.paste(picture, (LABEL + c * step, HEAD + r * step))
    for r, i in enumerate(indices):
        _write(draw, (8, HEAD + r * step + 4), f"{first.prompts[i]}\nseed {first.seed + i}", 26, font)
    name = hashlib.sha256(repr([job.cell.key for _, job in columns] + indices).encode()).hexdigest()[:12]
    return store.put_sheet(name, sheet)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, font: Font) -> None:
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]
    draw.multiline_text(at, "\n".join(lines[:7]), fill="black", font=font, spacing=2)
