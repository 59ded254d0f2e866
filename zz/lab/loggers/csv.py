"""CSV files: a folder a row, `path`/TITLE ID, with history.csv (step, name, value), numbers.csv and about.json.

Lightning's CSVLogger does not serve: on a folder that is there it begins again and deletes what was in it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zz.lab.loggers.base import Say
from zz.lab.loggers.folders import check_folder, place, row_folder
from zz.lab.loggers.rows import RowLogger
from zz.lab.loggers.sink import About, Sink
from zz.lab.store.atomic import write_json
from zz.lab.store.store import Store


@dataclass(frozen=True)
class CsvFiles(RowLogger):
    """path: the folder"""

    name: ClassVar[str] = "csv"
    path: str = "csv"

    def destination(self, store: Store) -> str:
        return place(self.path, store)

    def check(self) -> None:
        check_folder("logger.csv.path", self.path)

    def sink(self, about: About, say: Say) -> Sink:
        return _Files(row_folder(self.path, about), about)


class _Files(Sink):
    def __init__(self, folder: Path, about: About) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "about.json", {**about._asdict(), "tags": list(about.tags)})

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        path = self.folder / "history.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "name", "value"])
            writer.writerows([step, name, value] for name, value in numbers.items())

    def whole(self, numbers: Mapping[str, float], changed: Mapping[str, float]) -> None:
        self._write("numbers", ["name", "value"], list(numbers.items()))

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._write(name, columns, rows)

    def _write(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)

    def close(self, complete: bool) -> None:
        pass


__all__ = ["CsvFiles"]
