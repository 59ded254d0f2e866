"""PartiPrompts (Yu et al., 2022): 1,632 prompts in 12 categories and 11 challenges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from zz.data.base import Prompt
from zz.data.benchmark import Benchmark

HUNDRED = (
    *(2, 28, 82, 127, 128, 151, 164, 186, 187, 191, 194, 202, 206, 223, 255, 285, 286, 291, 300, 376, 382, 387, 391),
    *(416, 418, 447, 454, 488, 495, 499, 513, 530, 533, 577, 589, 594, 596, 617, 621, 635, 647, 649, 655, 666, 676),
    *(681, 682, 724, 733, 788, 816, 829, 861, 889, 906, 911, 917, 966, 976, 995, 1002, 1010, 1033, 1040, 1047, 1067),
    *(1090, 1106, 1112, 1120, 1121, 1123, 1128, 1131, 1146, 1162, 1178, 1194, 1203, 1221, 1232, 1235, 1251, 1253),
    *(1266, 1280, 1311, 1368, 1400, 1441, 1444, 1447, 1454, 1473, 1494, 1495, 1547, 1552, 1605, 1607),
)  # sorted(random.Random(0).sample(range(1632), 100))


@dataclass(frozen=True)
class PartiPrompts(Benchmark):
    """1,632 prompts, or 100 of them; category, challenge, and the number in the whole (`row`) are meta.

    hundred: whether only `HUNDRED`, in that order, with seeds 0..99. The paper draws 100 and does not say which;
             these were drawn from seed 0, once and for all

    - Quotes within a text belong to it. Two prompts are numbers, 42 and 0: they are texts like the others.
    """

    count: ClassVar[int] = 1632
    keeps: ClassVar[Mapping[str, str]] = {"Category": "category", "Challenge": "challenge"}
    column: str = "Prompt"
    hundred: bool = False

    def load(self) -> Sequence[Prompt]:
        found = [Prompt(p.text, {"row": row, **p.meta}) for row, p in enumerate(super().load())]
        return [found[row] for row in HUNDRED] if self.hundred else found
