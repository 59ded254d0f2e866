"""A guidance scale for each picture, taken from what was measured on the same picture of another cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zz.data.base import Picture
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.schedule import Node
from zz.lab.cell import Cell
from zz.lab.measurements.base import Measurement
from zz.lab.store.store import Store, StoreError


@dataclass(frozen=True)
class MeasuredScale:
    """Every prediction of a picture is made at the scale that was measured on it.

    source:      the cell that was measured
    measurement: what was measured
    value:       which of its values; a number a picture
    """

    source: Cell
    measurement: Measurement
    value: str

    def identity(self) -> Mapping[str, Any]:
        """What moves its numbers: a recipe too, without prompts."""
        return {"source": self.source.key, "measurement": dict(self.measurement.settings()), "value": self.value}

    def of(self, pictures: Sequence[Picture], store: Store) -> Tensor:
        """The scales of some pictures  # (B,) float32. Raises StoreError on one that was not measured."""
        found = []
        for picture in pictures:
            values = store.measured(self.source, self.measurement.identity, picture.name)
            if values is None or self.value not in values:
                raise StoreError(
                    f"picture {picture.name} of cell {self.source.key} has no {self.measurement.name}; "
                    f"make it first, with measurements=[{self.measurement.name}]"
                )
            found.append(float(values[self.value]))
        return torch.tensor(found, dtype=torch.float32)


def at_scales(guided: Guided, scales: Tensor) -> Guided:
    """The same network, answering at these scales whatever scale it is asked at.  # (B,)"""

    def predict(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
        return guided(x, node, scales.to(x.device), leg)

    return Guided(predict, guided.look)
