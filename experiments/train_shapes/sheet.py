"""Small pictures side by side, enlarged without blur."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def sheet(pictures: Sequence[Image.Image], path: Path, columns: int = 12, scale: int = 3) -> None:
    """Write pictures of one size as a PNG, row by row."""
    width, height = (scale * side + 2 for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    paper = Image.new("RGB", (columns * width, rows * height), "grey")
    for i, picture in enumerate(pictures):
        large = picture.convert("RGB").resize((width - 2, height - 2), Image.Resampling.NEAREST)
        paper.paste(large, (i % columns * width + 1, i // columns * height + 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    paper.save(path)
