"""Files of prompts as people have them: text, tables by delimiter, JSON, Parquet. One reader for all of them.

Every error is a ValueError that names the file, the place in it, and the remedy.
"""

import csv
import difflib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zz.diffusion.validate import typed

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
DELIMITERS = (",", ";", "\t", "|")
USUAL = ("prompt", "prompts", "text", "caption")  # names of the column of prompts
Row = tuple[str, Mapping[str, Any]]  # where it is in its file, for messages; its cells by column

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # the marks that it begins with; those of UTF-32 begin or end with them
_LINE = re.compile("\r\n|\r|\n")
_BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(n) for n in range(0xFE00, 0xFE10)}


def lines(path: str) -> list[str]:
    """A text file's lines, cut at LF, CR LF and CR only, byte order marks left out."""
    return _LINE.split(_text(path))


def is_folder(path: str) -> bool:
    """Whether there is a folder of that name; False for what can be no name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def folder(path: str, kinds: Sequence[str]) -> list[Path]:
    """The files of a folder that have one of the `kinds` as suffix, 2 before 10; files of others are not looked at."""
    try:
        there = [file for file in Path(path).iterdir() if file.is_file() and not file.name.startswith(".")]
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _error(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = [file for file in there if file.suffix.lower() in kinds]
    if not found:
        raise _error(path, f"is a folder without a file {', '.join(kinds)}")
    return sorted(found, key=lambda file: [int(n) if n.isdecimal() else n for n in re.split(r"(\d+)", file.name)])


def bare(text: str) -> str:
    """A text without byte order marks, and without blanks and invisible characters at its ends."""
    text = text.replace("\ufeff", "")
    start, end = 0, len(text)
    while start < end and _invisible(text[start]):
        start += 1
    while end > start and _invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def rows(path: str, column: str | None = None, delimiter: str | None = None) -> tuple[str, list[Row]]:
    """The column of prompts and all rows of a table; rows in which nothing is visible are left out.

    path:      .csv, .tsv, .jsonl or .ndjson (an object a line), .json (a list of objects, or of texts), .parquet
    column:    the column of prompts; None: the first there is of `USUAL`, in capitals or not
    delimiter: between cells; None: the one of , ; tab | at which the first line has that column
    """
    kind = Path(path).suffix.lower()
    if delimiter or kind in (".csv", ".tsv"):
        found = _delimited(path, column, delimiter)
    elif kind == ".parquet":
        found = _parquet(path)
    elif kind in TABLES:
        found = _json(path, column or USUAL[0])
    else:
        text = f"dataset=text {typed('dataset.path', path)}"
        raise _error(path, f"is no {', '.join(TABLES)}; rename it, or, if it has a prompt a line, read it with {text}")
    found = [
        (at, row) for at, row in found if any(bare(v) if isinstance(v, str) else v is not None for v in row.values())
    ]
    known = list(dict.fromkeys(name for _, row in found for name in row))
    if not known:
        return "", []
    if (chosen := _column(known, column)) is None:
        near = (difflib.get_close_matches(column or USUAL[0], known, 1) or known)[0]
        said = f"it has {', '.join(known)}; choose one, as {typed('dataset.column', near)}"
        raise _error(path, f"has no column {column or ' or '.join(USUAL)}; {said}")
    return chosen, found


def _column(names: Sequence[str], asked: str | None) -> str | None:
    """The column of prompts among a table's columns; None: it is not there."""
    if asked is not None:
        return asked if asked in names else None
    return next((name for usual in USUAL for name in names if name.lower() == usual), None)


def _error(path: str, said: str) -> ValueError:
    return ValueError(f"dataset.path={path} {said}")


def _invisible(char: str) -> bool:
    """Whether it shows nothing: separators, control and format characters, and some that are letters by category."""
    return char in _BLANK or (char != "\0" and unicodedata.category(char) in ("Zs", "Zl", "Zp", "Cc", "Cf"))


def _text(path: str) -> str:
    """A file's content, read as UTF-8."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _error(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    zeros = data.count(0)
    if data.startswith(_UTF_16) or zeros > len(data) // 4:
        raise _error(path, "looks like UTF-16; save it as UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        looks = "UTF-16" if zeros else "Latin-1 or Windows-1252, or no text at all"
        line = len(_LINE.findall(data[: error.start].decode("latin-1"))) + 1
        said = f"is not UTF-8 (line {line} has the byte 0x{data[error.start]:02x})"
        raise _error(path, f"{said}; it looks like {looks}; save it as UTF-8") from error
    if zeros:
        line = len(_LINE.findall(text[: text.index("\0")])) + 1
        raise _error(path, f"has a NUL character in line {line}; take it out, or save the file as UTF-8 text")
    return text.replace("\ufeff", "")


def _delimited(path: str, column: str | None, delimiter: str | None) -> list[Row]:
    """A table by delimiter, whose first line names its columns."""
    text = _text(path).lstrip("\r\n")
    if delimiter is None:
        usual = "\t" if Path(path).suffix.lower() == ".tsv" else ","
        heads = {d: _names(next(csv.reader(io.StringIO(text, newline=""), delimiter=d), [])) for d in DELIMITERS}
        delimiter = max(DELIMITERS, key=lambda d: (_column(heads[d], column) is not None, len(heads[d]), d == usual))
    found = [(line, cells) for line, cells in _cells(path, text, delimiter) if any(map(bare, cells))]
    if not found:
        return []
    names = _names(found[0][1])
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise _error(path, f"has {len(names)} columns, of which several are called {twice[0]}; rename them")
    for line, cells in found[1:]:
        if len(cells) != len(names):
            columns = f"{len(names)} column{'s' if len(names) > 1 else ''} ({', '.join(names)})"
            remedy = f'put a text with {delimiter!r} in it in double quotes, "..."'
            raise _error(path, f"has {len(cells)} cells in line {line}, and {columns}; {remedy}")
    return [(f"line {line}", dict(zip(names, cells, strict=True))) for line, cells in found[1:]]


def _names(cells: Sequence[str]) -> list[str]:
    """The columns' names; one without is named by its place."""
    return [bare(cell) or f"column {i}" for i, cell in enumerate(cells, 1)]


def _cells(path: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row's last line, and its cells.

    Between tabs quotes are rare and mostly part of the text: there a cell that is quoted as a whole loses them, and no
    cell goes on in the next line, unless rows are then of unequal length.
    """
    if delimiter == "\t":
        found = [[_unquoted(cell) for cell in line.split("\t")] for line in _LINE.split(text)]
        if len({len(cells) for cells in found if any(map(bare, cells))}) == 1:
            yield from enumerate(found, 1)
            return
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t"
    )
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        remedy = 'quotes within a quoted text are doubled, "say ""hi"""'
        raise _error(path, f"cannot be read in line {reader.line_num} ({error}); {remedy}") from error


def _unquoted(cell: str) -> str:
    whole = re.fullmatch(r'\s*"((?:[^"]|"")*)"\s*', cell)
    return whole[1].replace('""', '"') if whole else cell


def _json(path: str, column: str) -> list[Row]:
    """A list of objects or texts, or one a line, whatever the file is called."""
    text = bare(_text(path))
    found: list[tuple[str, Any]] = []
    if text.startswith("["):
        found += [(f"entry {i}", item) for i, item in enumerate(_parsed(path, text), 1)]
    else:
        try:
            found.append(("entry 1", json.loads(text, object_pairs_hook=_once)))
        except ValueError:
            each = [(f"line {i}", bare(line)) for i, line in enumerate(_LINE.split(text), 1)]
            found += [(at, _parsed(path, line, f" in {at}")) for at, line in each if line]
    for at, item in found:
        if not isinstance(item, dict | str):
            raise _error(path, f"has no object in {at}; write {{{json.dumps(column)}: ...}}, or a text")
    return [(at, item if isinstance(item, dict) else {column: item}) for at, item in found]


def _parsed(path: str, text: str, at: str = "") -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise _error(path, f"is not JSON{at}: {error}; mend it, or write it with a program") from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError(f"of the keys {', '.join(key for key, _ in pairs)} one comes twice")
    return found


def _parquet(path: str) -> list[Row]:
    """All columns but those that hold bytes, such as pictures; dates as text."""
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise _error(path, "needs pyarrow: pip install 'zz[parquet]'") from None
    try:
        with Path(path).open("rb") as opened:
            file = parquet.ParquetFile(opened)
            table = file.read([field.name for field in file.schema_arrow if "binary" not in str(field.type)])
    except (OSError, ValueError, ArrowException) as error:
        raise _error(path, f"cannot be read as Parquet: {error}".split("\n")[0]) from error
    return [(f"row {i}", json.loads(json.dumps(row, default=str))) for i, row in enumerate(table.to_pylist(), 1)]
