"""MS-COCO 2014 (Lin et al., 2014): 30,000 captions of the validation set, chosen by text2image-benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from zz.data.benchmark import Benchmark


@dataclass(frozen=True)
class Coco30k(Benchmark):
    """30,000 captions, each of its own picture, whose number is meta (`image_id`).

    - The paper does not say which captions it took; this list is the one that others use, and its release has the
      statistics of the validation set's pictures for FID beside it.
    - Captions of two pictures may be alike; their seeds are not.
    - Columns are as programs that read the file name them: `text` and `image_id`; say dataset.column where it differs.
    """

    count: ClassVar[int] = 30_000
    keeps: ClassVar[Mapping[str, str]] = {"image_id": "image_id"}
    column: str = "text"
