"""UMTScore and UMT-FVD, as ChronoMagic-Bench's own programs compute them (Yuan et al., 2024; Liu et al., 2023, FETV).

They need that repository's environment and weights. So clips are exported to the folders that it expects
(`zz.lab.exported`), judged there, and its result files are read here. A clip is known by its pixels: a score never goes
to a clip that was not the one exported.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.diffusion.validate import as_tuple
from zz.hub.files import file_digest
from zz.scorers.base import Extract, Features, ImageScorer, Score, SetMetric
from zz.scorers.interval import Interval

INDEX = "clips.json"  # in the folder of an export: model -> videoid -> fingerprint
HOW = "export clips with `python -m zz.experiments.chronomagic.export`, judge them there, and score again"


class Clip(NamedTuple):
    """An exported clip: the name of the model under which it lies, and its id."""

    model: str
    videoid: str


def fingerprint(frames: Sequence[Image.Image]) -> np.ndarray:
    """Four numbers in 0..1 of the pixels of frames, by which a clip is known: each the mean over its frames.  # (4,)"""
    return _numbers(frames).mean(0)


def _numbers(frames: Sequence[Image.Image]) -> np.ndarray:
    found = []
    for frame in frames:
        rgb = frame.convert("RGB")
        digest = hashlib.sha256(f"{rgb.size}".encode() + rgb.tobytes()).digest()
        found.append(np.frombuffer(digest, dtype="<u8") / 2.0**64)
    return np.stack(found)  # (F, 4)


@dataclass(frozen=True)
class Fingerprint(Features):
    """By what a clip is known among those that were exported."""

    name: str = "fingerprint"
    version: ClassVar[int] = 1

    def settings(self):
        return {}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Extract]:
        yield _numbers


class Exported:
    """The clips in a folder of exports.

    Raises ValueError with the field and the remedy where there is none.
    """

    def __init__(self, field: str, folder: str) -> None:
        index = Path(folder, INDEX)
        try:
            self.models: dict[str, dict[str, list[float]]] = (
                json.loads(index.read_text(encoding="utf-8")) if folder else {}
            )
            clips = [(Clip(m, v), f) for m, videos in self.models.items() for v, f in videos.items()]
            self._prints = np.array([f for _, f in clips], dtype=np.float64).reshape(-1, 4)
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"{field}={folder} is no folder of exported clips ({error}); {HOW}") from None
        if not clips:
            raise ValueError(f"{field}={folder} has no exported clips; {HOW}")
        self._clips = [clip for clip, _ in clips]

    def find(self, one: np.ndarray) -> list[Clip]:
        """The exported clips with this fingerprint; several where cells gave equal clips."""
        same = (np.abs(self._prints - one) < 1e-9).all(1)
        return [self._clips[int(i)] for i in np.flatnonzero(same)]


@dataclass(frozen=True)
class UMTScore(ImageScorer):
    """Agreement of clip and caption: the matching head's output of UMT (Li et al., 2023) tuned on MSR-VTT.

    exported:   the folder of exported clips
    repository: the checkout of ChronoMagic-Bench in which they were judged, with UMT/results/UMTScore/150/MODEL/
                UMTScore.json (scores by number) and UMT/main/data/chronomagic_150.json (which number is which clip)
    """

    exported: str = ""
    repository: str = ""
    name: str = "umt_score"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "logit"
    higher_is_better: ClassVar[bool | None] = True
    reads_clips: ClassVar[bool] = True

    def settings(self):
        results = sorted(Path(self.repository or "").glob("UMT/results/UMTScore/150/*/UMTScore.json"))
        return {"results": [file_digest(path) for path in results]}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        there = Exported(f"scorers.{self.name}.exported", self.exported)
        results: dict[str, Mapping[str, float]] = {}

        def one(frames: Sequence[Image.Image]) -> float:
            if not (clips := there.find(fingerprint(frames))):
                raise ValueError(f"{self.name}: a clip is not among those in {self.exported}; {HOW}")
            model, videoid = clips[0]
            if model not in results:
                results[model] = umt_scores(self.repository, model)
            if videoid not in results[model]:
                raise ValueError(f"{self.name}: the results of {model} have no {videoid}; judge it again")
            return results[model][videoid]

        def score(clips: Sequence[Sequence[Image.Image]], prompts: Sequence[Prompt]) -> list[float]:
            return [one(frames) for frames in clips]

        yield score


@dataclass(frozen=True)
class UMTFVD(SetMetric):
    """Fréchet distance to the benchmark's own clips in features of UMT: a mean over seeds, then over subsets' sizes.

    exported:   as in UMTScore
    repository: likewise, with UMT/results/UMTFVD/scores/150/MODEL/SEED/metric-fvd300_16f.jsonl and so on
    sizes:      clips in a subset; the benchmark's number is the mean over these

    It has no interval: what the seeds draw are subsets of the same clips.
    """

    exported: str = ""
    repository: str = ""
    sizes: tuple[int, ...] = (32, 64, 128, 256, 300, 512, 1024)
    name: str = "umt_fvd"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "distance"
    higher_is_better: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sizes", as_tuple(self.sizes))

    @property
    def features(self) -> Features:
        return Fingerprint()

    def settings(self):
        results = sorted(Path(self.repository or "").glob("UMT/results/UMTFVD/scores/150/*/*/metric-*.jsonl"))
        return {"sizes": self.sizes, "results": [file_digest(path) for path in results]}

    def measure(self, features, prompts, reference):
        there = Exported(f"scorers.{self.name}.exported", self.exported)
        found = [{clip.model: clip.videoid for clip in there.find(one)} for one in features]
        models = [m for m in found[0] if all(m in one for one in found)] if found else []
        whole = [m for m in models if {one[m] for one in found} == set(there.models[m])]
        if not whole:
            raise ValueError(
                f"{self.name}: no model in {self.exported} has these {len(found)} clips and no others; {HOW}"
            )
        value = umt_fvd(self.repository, whole[0], self.sizes)
        return Interval(value, -math.inf, math.inf)


def umt_scores(repository: str, model: str) -> dict[str, float]:
    """videoid -> UMTScore of a model's clips. Raises ValueError with the file and what it lacks."""
    listed = Path(repository, "UMT/main/data/chronomagic_150.json")
    path = Path(repository, "UMT/results/UMTScore/150", model, "UMTScore.json")
    try:
        names = [str(entry["caption_id"]) for entry in _read(listed)]
    except (TypeError, KeyError):
        raise ValueError(f"{listed} is no list of objects with caption_id; check out the repository again") from None
    scores = _read(path)
    wanted = {str(n) for n in range(len(names))}
    if not isinstance(scores, dict) or set(scores) != wanted:
        raise ValueError(f"{path} has no score by number for each of the {len(names)} clips of {listed}; judge again")
    return {name: _finite(path, str(n), scores[str(n)]) for n, name in enumerate(names)}


def umt_fvd(repository: str, model: str, sizes: Sequence[int]) -> float:
    """The mean over sizes of the mean over seeds. Raises ValueError with the file and what it lacks."""
    folder = Path(repository, "UMT/results/UMTFVD/scores/150", model)
    seeds = sorted(path for path in folder.glob("*") if path.is_dir())
    if not seeds:
        raise ValueError(f"{folder} has no results; judge {model} with UMT/step0 and step1 of {repository}")
    return float(np.mean([np.mean([_distance(seed, f"fvd{size}_16f") for seed in seeds]) for size in sizes]))


def _distance(folder: Path, metric: str) -> float:
    """The last line of a metric's file, for its programs add lines and remove none."""
    path = folder / f"metric-{metric}.jsonl"
    try:
        line = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][-1]
        return _finite(path, metric, json.loads(line)["results"][metric])
    except (OSError, IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{path} has no line with results.{metric}; judge again, or see sizes") from None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); is this the checkout in which the clips were judged?"
        ) from None


def _finite(path: Path, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{path} has {what}={value!r}, which is no finite number; judge again")
    return float(value)


__all__ = ["INDEX", "UMTFVD", "Clip", "Exported", "Fingerprint", "UMTScore", "fingerprint", "umt_fvd", "umt_scores"]
