"""A table of prompts: a column of texts, the others their meta."""

from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.data.reading import bare, rows


@dataclass(frozen=True)
class Table(PromptSet):
    """One prompt a row; its other columns are its meta: `dataset=table dataset.path=prompts.csv`.

    path:      .csv, .tsv, .jsonl, .json or .parquet (needs pyarrow)
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
        column, found = rows(self.path, self.column, self.delimiter)
        return [self._prompt(column, at, dict(row)) for at, row in found]

    def _prompt(self, column: str, at: str, row: dict[str, object]) -> Prompt:
        text, said = row.pop(column, None), f"dataset.path={self.path}: {at}"
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
