"""GenEval's rules over anyone's detections, from a file."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from zz.data.base import Prompt, picture_name
from zz.hub.files import file_digest
from zz.scorers.base import ImageScorer, Score
from zz.scorers.geneval.names import COLOURS, NAMES
from zz.scorers.geneval.rules import Detection, Objects, kept, verdict
from zz.scorers.geneval.scorer import check_record, threshold


@dataclass(frozen=True)
class GenEvalDetections(ImageScorer):
    """1 where the rules call a picture right by the detections of a file, else 0; no number where it has none.

    path: a JSON object a line, one a picture:
          {"picture": "000017-3fa9c2d1e0b4", "objects": [{"class": "dog", "score": 0.97, "box": [l, t, r, b],
           "colour": "red"}]}; a picture's name is that of its file in the store, `colour` (or `color`, GenEval's own
          word) is needed where a prompt asks for one, and may be `colours`, a share for each
    """

    path: str | None = None
    name: str = "geneval_detections"
    reads: ClassVar[tuple[str, ...]] = ("tag", "include", "exclude")
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "correct"
    higher_is_better: ClassVar[bool] = True

    def settings(self):
        return {"detections": file_digest(self._file())}

    def _file(self) -> Path:
        if self.path is None or not Path(self.path).is_file():
            raise ValueError(f"scorers.{self.name}.path={self.path} is no file; give one of detections, in JSON lines")
        return Path(self.path)

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        known = read(self._file(), f"scorers.{self.name}.path={self.path}")

        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            found = []
            for image, prompt in zip(images, prompts, strict=True):
                check_record(prompt)
                made = picture_name(prompt.text, int(image.info.get("seed", prompt.seed or 0)))
                objects = known.get(str(image.info.get("picture", made)), known.get(made))
                if objects is not None:
                    check_colours(objects, prompt, self.name)
                right = objects is not None and verdict(kept(objects, threshold(prompt.meta)), prompt.meta)[0]
                found.append(math.nan if objects is None else float(right))  # no number is no verdict
            return found

        yield score


def check_colours(objects: Objects, prompt: Prompt, name: str) -> None:
    """Raises ValueError where a prompt asks for a colour and a detection of that class has none."""
    for asked in prompt.meta["include"]:
        if "color" in asked and any(not one.colours for one in objects.get(asked["class"], ())):
            raise ValueError(
                f"scorers.{name}: {prompt.text!r} asks for a colour, and a detected {asked['class']} has none; add it"
            )


def read(path: Path, field: str) -> dict[str, Objects]:
    """By picture, what was detected, by class. Raises ValueError with the line that is broken."""
    found: dict[str, Objects] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{field} is not UTF-8; save it as UTF-8") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it is no JSON object")
            name, objects = record["picture"], record["objects"]
            if not isinstance(name, str):
                raise ValueError(f"picture {name!r} is no name")
            if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
                raise ValueError("objects is no list of JSON objects")
            if Path(name).stem in found:
                raise ValueError(f"picture {name!r} comes twice")
            by_class: dict[str, list[Detection]] = {}
            for one in objects:
                by_class.setdefault(_class(one), []).append(_detection(one))
            found[Path(name).stem] = by_class
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{field}: line {number} is broken ({said}); mend it, or leave it out") from error
    return found


def _class(one: Mapping[str, Any]) -> str:
    if one["class"] not in NAMES:
        raise ValueError(f"class {one['class']!r} is none of GenEval's 80, such as {NAMES[64]!r}")
    return str(one["class"])


KEYS = ("class", "score", "box", "colour", "color", "colours")


def _detection(one: Mapping[str, Any]) -> Detection:
    if unknown := [key for key in one if key not in KEYS]:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(KEYS)}")
    if not isinstance(one["box"], list) or len(one["box"]) != 4:
        raise ValueError(f"box {one['box']!r} must be left, top, right, bottom")
    left, top, right, bottom = (_number("box", x) for x in one["box"])
    if left > right or top > bottom:
        raise ValueError(f"box {one['box']} must be left, top, right, bottom")
    score = _number("score", one["score"])
    if not 0 <= score <= 1:
        raise ValueError(f"score {score} lies outside 0..1")
    colour = one.get("colour") or one.get("color")
    colours = one.get("colours") or ({colour: 1.0} if colour else {})
    if not isinstance(colours, dict):
        raise ValueError(f"colours {colours!r} must be a share for each colour")
    if unknown := [name for name in colours if name not in COLOURS]:
        raise ValueError(f"colour {unknown[0]!r} is none of {', '.join(COLOURS)}")
    return Detection((left, top, right, bottom), score, {name: _number("colour", x) for name, x in colours.items()})


def _number(what: str, x: Any) -> float:
    if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x):
        raise ValueError(f"{what} holds {x!r}, which is no number")
    return float(x)
