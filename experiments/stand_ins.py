"""Which embedded model, prompt set and score stands for which of the paper's: stand_ins.yaml, read once."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from zz.lab.scales import StandIns


@cache
def stand_ins() -> StandIns:
    """By group (model, dataset, scorers), the paper's option -> words; null where there is none."""
    found: Any = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return found
