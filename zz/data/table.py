"""A table of prompts: a column of texts, the others their meta."""

from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.data.reading import TABLES, bare, folder, is_folder, rows


@dataclass(frozen=True)
class Table(PromptSet):
    """One prompt a row; its other columns are its meta: `dataset=table dataset.path=prompts.csv`.

    path:      .csv, .tsv, .jsonl, .json or .parquet (needs pyarrow); or a folder of tables of one of these kinds, read
               in the order of their names, 2 before 10, whose names are meta (`file`)
    column:    the column, or key, of the prompts; None: the first there is of prompt, prompts, text, caption
    delimiter: between cells; None: , ; tab or |, as the first line has it
    seeds:     the column of their own seeds; None: an entry's is its number in the whole set
    """

    path: str = ""
    column: str | None = None
    delimiter: str | None = None
    seeds: str | None = None
    name: str = field(default="table", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", self.delimiter.replace("\\t", "\t"))
            if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
                raise ValueError(f"dataset.delimiter={self.delimiter!r} must be one character, such as ;")

    def load(self) -> list[Prompt]:
        if not self.path:
            raise ValueError("dataset=table needs a file: dataset.path=prompts.csv, with a column called prompt")
        if not is_folder(self.path):
            return self._read(self.path, {})
        files = folder(self.path, TABLES)
        if len(kinds := {file.suffix.lower() for file in files}) > 1:
            some = f"dataset.path={self.path} has tables of several kinds ({', '.join(sorted(kinds))})"
            raise ValueError(f"{some}; leave those of one, or name a file")
        return [prompt for file in files for prompt in self._read(str(file), {"file": file.stem})]

    def _read(self, path: str, more: dict[str, object]) -> list[Prompt]:
        column, found = rows(path, self.column, self.delimiter)
        return [self._prompt(column, f"dataset.path={path}: {at}", {**more, **row}) for at, row in found]

    def _prompt(self, column: str, said: str, row: dict[str, object]) -> Prompt:
        text = row.pop(column, None)
        if not isinstance(text, str | None):
            raise ValueError(f'{said} has {column}={text!r}, which is no text; quote it: "{text}"')
        if text is None or not bare(text):
            raise ValueError(f"{said} has no {column}; fill it in, or take it out")
        if self.seeds is None:
            return Prompt(bare(text), row)
        try:
            seed = int(str(row.pop(self.seeds, "")))
        except ValueError:
            raise ValueError(
                f"{said} has no whole number as {self.seeds}; fill it in, or say dataset.seeds=null"
            ) from None
        return Prompt(bare(text), row, seed)
