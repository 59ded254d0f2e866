"""TensorBoard, by Lightning Fabric: a folder a row, `path`/TITLE ID. `tensorboard --logdir path` shows them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from zz.diffusion.validate import Range
from zz.lab.loggers.base import Say
from zz.lab.loggers.folders import check_folder, check_installed, place, row_folder
from zz.lab.loggers.history import Pair, preview
from zz.lab.loggers.rows import RowLogger
from zz.lab.loggers.sink import About, Sink
from zz.lab.store.store import Store

PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class TensorBoard(RowLogger):
    """path: the folder; pictures: pairs of pictures of each row that was asked for, beside its controls; 0: none"""

    name: ClassVar[str] = "tensorboard"
    path: str = "tensorboard"
    pictures: Annotated[int, Range(0)] = 8

    def destination(self, store: Store) -> str:
        return place(self.path, store)

    @property
    def shown(self) -> int:
        return self.pictures

    def check(self) -> None:
        check_installed("logger=tensorboard", "tensorboard", "tensorboard")
        check_folder("logger.tensorboard.path", self.path)

    def sink(self, about: About, say: Say) -> Sink:
        return _Folder(self.path, about)


class _Folder(Sink):
    def __init__(self, path: str, about: About) -> None:
        from lightning.fabric.loggers.tensorboard import TensorBoardLogger

        self.about = about
        self.logger = TensorBoardLogger(path, name="", version=row_folder(path, about).name)
        text = json.dumps(about.config, indent=1, ensure_ascii=False, default=str)
        self.logger.experiment.add_text(about.title, f"```\n{text}\n```")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.logger.log_metrics(dict(numbers), step)

    def whole(self, numbers: Mapping[str, float], changed: Mapping[str, float]) -> None:
        plain = {name: x for name, x in self.about.config.items() if isinstance(x, PLAIN)}
        self.logger.log_hyperparams(plain, dict(changed))

    def pictures(self, step: int, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            side = [np.asarray(preview(image)) for image in pair.images.values()]
            name = f"{pair.picture.prompt.text}, seed {pair.picture.seed}/{' | '.join(pair.images)}"
            self.logger.experiment.add_image(name, np.concatenate(side, axis=1), step, dataformats="HWC")

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [_line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
        self.logger.experiment.add_text(name, "\n".join(lines), step)

    def close(self, complete: bool) -> None:
        self.logger.experiment.close()


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(f'{cell:.4g}' if isinstance(cell, float) else str(cell) for cell in cells)} |"


__all__ = ["TensorBoard"]
