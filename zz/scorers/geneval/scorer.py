"""GenEval (Ghosh et al., 2023) as a score of one picture: 1 where it shows what its record asks for, else 0."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from zz.data.base import Prompt
from zz.scorers.base import ImageScorer, Needs, Score
from zz.scorers.geneval.colours import ClipColours, Judge
from zz.scorers.geneval.detector import Detector, Found
from zz.scorers.geneval.names import COLOURS, NAMES
from zz.scorers.geneval.rules import COUNTING_THRESHOLD, THRESHOLD, Detection, kept, verdict
from zz.scorers.geneval.scene import scene


@dataclass(frozen=True)
class GenEval(ImageScorer):
    """1 where a detector, a judge of colours and the rules of rules.py call the picture right, else 0.

    detector:  which Mask2Former
    colours:   which CLIP
    self_test: before any picture, a detector that finds nothing in a drawn street is refused
    """

    detector: Detector
    colours: ClipColours
    self_test: bool = True
    name: str = "geneval"
    reads: ClassVar[tuple[str, ...]] = ("tag", "include", "exclude")
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "correct"
    higher_is_better: ClassVar[bool] = True

    def settings(self):
        return {**self.detector.settings(), **self.colours.settings()}

    @property
    def needs(self):
        ours, theirs = self.detector.needs, self.colours.needs
        return Needs((*ours.weights, *theirs.weights), (*ours.files, *theirs.files))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with self.detector.open(device) as detect, self.colours.open(device) as judge:
            if self.self_test and not any(one.score > THRESHOLD for one in detect(scene())):
                raise ValueError(
                    f"scorers.{self.name}: its detector finds nothing in a drawn street with a stop sign, a clock and "
                    f"a ball, so that every picture would be wrong: its weights are not whole, or are others; "
                    f"scorers.{self.name}.self_test=false scores all the same"
                )

            def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
                found = []
                for image, prompt in zip(images, prompts, strict=True):
                    check_record(prompt)
                    right, _ = verdict(coloured(image, detect(image), prompt.meta, judge), prompt.meta)
                    found.append(float(right))
                return found

            yield score


def coloured(
    image: Image.Image, found: Sequence[Found], meta: Mapping[str, Any], judge: Judge
) -> dict[str, list[Detection]]:
    """What counts as detected, by class; those that are asked for their colour have it."""
    objects: dict[str, list[Detection]] = {}
    which: dict[int, Found] = {}
    for one in found:
        detection = Detection(one.box, one.score)
        which[id(detection)] = one
        objects.setdefault(one.name, []).append(detection)
    objects = kept(objects, threshold(meta))
    for item in meta.get("include", ()):
        if "color" in item and item["class"] in objects:
            asked = objects[item["class"]][: item["count"]]
            shares = judge(image, [which[id(one)] for one in asked if not one.colours])
            new = iter(shares)
            named = [one if one.colours else Detection(one.box, one.score, next(new)) for one in asked]
            objects[item["class"]][: item["count"]] = named
    return objects


def threshold(meta: Mapping[str, Any]) -> float:
    """The score that an object must exceed; counting asks for more."""
    return COUNTING_THRESHOLD if meta.get("tag") == "counting" else THRESHOLD


def check_record(prompt: Prompt) -> None:
    """Raises ValueError where a prompt has no record of GenEval's, or one in other words than its own."""
    meta, said = prompt.meta, f"prompt {prompt.text!r}"
    if "tag" not in meta or not meta.get("include"):
        raise ValueError(f"{said} has no tag and include in its meta; choose a prompt set that has, such as GenEval's")
    items = [meta["include"], meta.get("exclude") or []]
    if not all(isinstance(one, list | tuple) and all(isinstance(item, Mapping) for item in one) for one in items):
        raise ValueError(f"{said} has an include or exclude that is no list of records; give it in JSON lines")
    for item in (*items[0], *items[1]):
        if item.get("class") not in NAMES:
            raise ValueError(f"{said} asks for {item.get('class')!r}, which is none of GenEval's 80 classes")
        if "color" in item and item["color"] not in COLOURS:
            raise ValueError(f"{said} asks for {item['color']!r}; GenEval's colours are {', '.join(COLOURS)}")
