"""Clips in the folders that ChronoMagic-Bench's own programs expect: FOLDER/MODEL/videoid.mp4."""

import json
import re
import shutil
from pathlib import Path

from PIL import Image

from zz.lab.results import Results
from zz.lab.store.atomic import StoreError
from zz.lab.store.manifest import Row
from zz.lab.strip import frames
from zz.scorers.video.chronomagic import INDEX, fingerprint


def export(results: Results, folder: Path) -> dict[str, int]:
    """Copy the videos of every row whose prompts have a videoid; model -> how many.

    A model is a cell's key, without a _ in it, which those programs would cut names at; repeat r of it is KEYrR. What
    was exported before stays. Raises StoreError where a clip, its video or its name will not do.
    """
    index = _known(folder / INDEX)
    made = dict[str, int]()
    for row in results.manifest.rows:
        for picture in results.pictures(row):
            videoid = picture.prompt.meta.get("videoid")
            if videoid is None:
                break
            if not re.fullmatch(r"[\w.-]+", str(videoid)):
                raise StoreError(f"videoid {videoid!r} can be no file name; letters, digits, _ . - can")
            model = row.cell + (f"r{picture.repeat}" if picture.repeat else "")
            video, strip = _video(results, row, picture.name)
            (folder / model).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video, folder / model / f"{videoid}.mp4")
            index.setdefault(model, {})[str(videoid)] = fingerprint(strip).tolist()
            made[model] = made.get(model, 0) + 1
    if not made:
        raise StoreError(f"no row of {results.manifest.name} has prompts with a videoid; run dataset=chronomagic_150")
    beside = folder / f"{INDEX}.new"
    beside.write_text(json.dumps(index, indent=1), encoding="utf-8")
    beside.replace(folder / INDEX)
    return made


def _known(path: Path) -> dict[str, dict[str, list[float]]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); export to another folder") from error


def _video(results: Results, row: Row, name: str) -> tuple[Path, list[Image.Image]]:
    """The video of a clip, and its frames."""
    cell, _ = results.store.cell(row.cell)
    n = cell.ledger["model"].get("frames", 1)
    videos = sorted(results.store.folder(cell).glob(f"videos/*/{name}.mp4"), key=lambda path: path.stat().st_mtime)
    if n < 2 or not videos:
        what = "makes pictures, no clips" if n < 2 else f"has no video of {name}; run again what made it"
        raise StoreError(f"{row.title} {what}")
    return videos[-1], frames(results.store.image(cell, name), n)
