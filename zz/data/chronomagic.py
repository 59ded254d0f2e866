"""ChronoMagic-Bench-150 (Yuan et al., 2024): 150 captions of time-lapse videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from zz.data.benchmark import Benchmark


@dataclass(frozen=True)
class ChronoMagic(Benchmark):
    """150 captions; `videoid`, `sub_category` and `main_category` are meta.

    - The caption is in the column `name`.
    - Its judges know a clip by its file name, videoid.mp4; some have a point in them (day2night_13.0).
    - Two captions have no main category.
    - Captions have 27 to 63 words: CLIP's 77 tokens may cut the longest, which a run says.
    """

    count: ClassVar[int] = 150
    keeps: ClassVar[Mapping[str, str]] = {key: key for key in ("videoid", "sub_category", "main_category")}
    column: str = "name"
