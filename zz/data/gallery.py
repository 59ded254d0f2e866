"""Folders of pictures that were not made here, and the prompts that they are of."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zz.data.base import Prompt, PromptList, picture_name
from zz.data.reading import TABLES, bare, lines, rows
from zz.hub.files import sha256

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FILES = (  # names of the column of pictures, in any case
    *("file", "file_name", "filename", "image", "image_path", "image_file", "img", "img_path", "picture", "path"),
    *("filepath", "file_path"),
)
RECORDS = ("metadata.jsonl", "metadata.csv")  # that may lie in the folder itself
NUMBERED = re.compile(r"\D*?(\d+)(?:[_-](\d+))?")  # 17, 000017, prompt_17, 17_2
OWN = re.compile(r"(\d{6,})-([0-9a-f]{12})")  # as zz calls its own: the seed, and digits of the text's digest
GENEVAL = re.compile(r"\d{5}/samples/[^/]+")
SHEET = re.compile(r"\d{5}/grid\.\w+")  # of the samples, which GenEval's programs put beside them


@dataclass(frozen=True)
class Gallery:
    """Prompts with the pictures that were found of them.

    prompts: each entry with the SHA-256 of its pictures' files
    paths:   of the pictures, as `prompts.pictures()` has them; None: it is not there
    seeded:  whether their seeds are known, by which they are paired with other rows
    remarks: what a person should know of how they were matched
    """

    prompts: PromptList
    paths: tuple[str | None, ...]
    seeded: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    text: str
    meta: Mapping[str, Any]
    seed: int | None
    files: tuple[Path, ...]


def gallery(
    images: str,
    prompts: str | None = None,
    name: str = "given",
    column: str | None = None,
    delimiter: str | None = None,
    seeds: str | None = None,
) -> Gallery:
    """The pictures of a folder, matched with prompts. Raises ValueError with the field, the file and the remedy.

    images:    the folder. GenEval's layout (00000/metadata.jsonl, 00000/samples/0000.png) needs nothing else
    prompts:   a table with a column of prompts and one of files (file, file_name, image, picture or path, relative to
               the folder), or prompts in order, of which picture 17.png or 17_2.png is of the 18th; None: the folder's
               own metadata.jsonl or metadata.csv
    name:      of the prompt list
    column:    of the prompts
    delimiter: between the table's cells
    seeds:     the column of the pictures' seeds
    """
    folder = Path(images)
    if not folder.is_dir():
        raise ValueError(f"images={images} is no folder that is there; give one, as images=FOLDER")
    there = {p.relative_to(folder).as_posix(): p for p in _pictures(folder)}
    if not there:
        raise ValueError(f"images={images} holds no picture; give a folder of {', '.join(SUFFIXES)}")
    remarks: list[str] = []
    if prompts is None and any(GENEVAL.fullmatch(path) for path in there):
        there = {at: path for at, path in there.items() if not SHEET.fullmatch(at)}
        found = _geneval(folder, there)
    else:
        given = prompts or next((str(folder / record) for record in RECORDS if (folder / record).is_file()), None)
        if given is None:
            raise ValueError(
                f"prompts=null, and {images} has no {' or '.join(RECORDS)}: say of what its pictures are, as "
                "prompts=FILE"
            )
        try:
            found = _matched(folder, there, given, column, delimiter, seeds, remarks)
        except ValueError as error:  # the reader of prompt files speaks of data sets
            said = str(error).replace("dataset.path=", "prompts=").replace("dataset.", "")
            raise ValueError(said) from error
    used = {path for one in found for path in one.files}
    if over := [name for name, path in there.items() if path not in used]:
        raise ValueError(
            f"images={images}: {len(over)} of {len(there)} pictures are of no prompt: {_some(over)}; take them out, or "
            "add their prompts"
        )
    if lack := [repr(one.text) for one in found if not one.files]:
        raise ValueError(
            f"images={images}: {len(lack)} of {len(found)} prompts have no picture: {_some(lack)}; add them, or take "
            "the prompts out"
        )
    repeats = max(len(one.files) for one in found)
    digests = {path: sha256(path) for path in used}
    entries = [
        Prompt(one.text, one.meta, i if one.seed is None else one.seed, tuple(digests[path] for path in one.files))
        for i, one in enumerate(found)
    ]
    paths = [str(one.files[r].resolve()) if r < len(one.files) else None for r in range(repeats) for one in found]
    return Gallery(
        PromptList(name, tuple(entries), repeats),
        tuple(paths),
        bool(found) and all(one.seed is not None for one in found),
        tuple(remarks),
    )


def _pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, links to folders followed; nothing hidden."""
    found, seen = list[Path](), set[str]()
    for at, inside, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(at)) in seen:  # a link that leads back
            inside[:] = []
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        named = (Path(at, name) for name in files if not name.startswith("."))
        found += [path for path in named if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


def _geneval(folder: Path, there: Mapping[str, Path]) -> list[_Found]:
    found = []
    recorded = {path.parent.name for path in folder.glob("*/metadata.jsonl")}
    for place in sorted({path.partition("/")[0] for path in there} | recorded):
        record = folder / place / "metadata.jsonl"
        if not record.is_file():
            raise ValueError(f"images={folder}: {place} has no metadata.jsonl, which says of what its pictures are")
        column, table = rows(str(record), "prompt")
        if len(table) != 1:
            raise ValueError(f"images={folder}: {record} has {len(table)} lines, and one is expected")
        row = dict(table[0][1])
        mine = tuple(path for at, path in there.items() if GENEVAL.fullmatch(at) and at.startswith(f"{place}/"))
        found.append(_Found(_text(f"{record}: {table[0][0]}", row.pop(column)), row, None, mine))
    return found


def _matched(
    folder: Path,
    there: Mapping[str, Path],
    prompts: str,
    column: str | None,
    delimiter: str | None,
    seeds: str | None,
    remarks: list[str],
) -> list[_Found]:
    if Path(prompts).suffix.lower() not in TABLES and not delimiter:
        listed = [bare(line) for line in lines(prompts)]
        table: list[tuple[str, dict[str, Any]]] = [(f"line {n}", {"prompt": t}) for n, t in enumerate(listed, 1) if t]
        column = "prompt"
    else:
        column, read = rows(prompts, column, delimiter)
        table = [(at, dict(row)) for at, row in read]
    if not table:
        raise ValueError(f"prompts={prompts} holds no prompts")
    at_file = _column_of_files(table, prompts)
    if seeds and not any(seeds in row for _, row in table):
        raise ValueError(f"seeds={seeds} is no column of prompts={prompts}; it has {', '.join(table[0][1])}")
    if at_file is None:
        texts = [str(row.get(column) or "") for _, row in table]
        named = _numbered(there, texts, prompts, remarks)
        one_each = [(at, row, named.get(i, ())) for i, (at, row) in enumerate(table)]
    else:
        one_each = [(at, row, (_named(folder, there, prompts, at, row.pop(at_file, None)),)) for at, row in table]
    found: dict[tuple[str, int | None, int], _Found] = {}
    for n, (at, row, files) in enumerate(one_each):
        where = f"prompts={prompts}: {at}"
        text, seed = _text(where, row.pop(column)), _seed(where, row.pop(seeds)) if seeds else None
        key = text, seed, 0 if at_file else n  # rows of one prompt that name a picture each are its repeats
        known = found.get(key)
        found[key] = _Found(text, known.meta if known else row, seed, (*(known.files if known else ()), *files))
    counts = sorted({len(one.files) for one in found.values()})
    if not at_file or len(counts) < 2:
        return list(found.values())
    remarks.append(
        f"prompts={prompts} names {counts[0]} to {counts[-1]} pictures of a prompt: each counts for itself, and "
        "intervals take pictures, not prompts, as what is drawn"
    )
    return [replace(one, files=(file,)) for one in found.values() for file in one.files]


def _column_of_files(table: Sequence[tuple[str, Mapping[str, Any]]], prompts: str) -> str | None:
    """The column that names pictures. Raises ValueError where one seems to, under a name that is not known."""
    columns = dict.fromkeys(name for _, row in table for name in row)
    if known := [name for name in columns if name.lower().replace(" ", "_") in FILES]:
        return min(known, key=lambda name: FILES.index(name.lower().replace(" ", "_")))
    for name in columns:
        values = [str(row.get(name) or "") for _, row in table]
        if all(Path(value).suffix.lower() in SUFFIXES for value in values):
            raise ValueError(f"prompts={prompts}: column {name} seems to name pictures; call it file, or take it out")
    return None


def _text(at: str, value: Any) -> str:
    if not isinstance(value, str) or not bare(value):
        raise ValueError(f"{at} has {value!r} as its prompt, which is no text; fill it in")
    return bare(value)


def _seed(at: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"{at} has {value!r} as its seed, which is no whole number") from None


def _named(folder: Path, there: Mapping[str, Path], prompts: str, at: str, value: Any) -> Path:
    name = "" if value is None else str(value).strip().removeprefix("./")
    if Path(name).is_absolute() and Path(name).is_relative_to(folder.absolute()):
        name = Path(name).relative_to(folder.absolute()).as_posix()
    for form in (name, *(f"{name}{suffix}" for suffix in SUFFIXES)):
        if form in there:
            return there[form]
    raise ValueError(
        f"prompts={prompts}: {at} names the picture {name or 'nothing'!r}, which is not in {folder}; it has "
        f"{_some(list(there))}; paths are relative to the folder"
    )


def _numbered(
    there: Mapping[str, Path], texts: Sequence[str], prompts: str, remarks: list[str]
) -> dict[int, tuple[Path, ...]]:
    """By the number of a prompt: its pictures, in the order of their second number, or of their seeds."""
    if len(places := dict.fromkeys(name.rpartition("/")[0] or "." for name in there)) > 1:
        raise ValueError(
            f"pictures lie in {len(places)} folders ({_some(list(places))}) and are matched by the numbers in their "
            "names: give images=one of them, or a table with a column file"
        )
    n, known = len(texts), {picture_name(text, 0).partition("-")[2]: i for i, text in enumerate(texts)}
    numbers: dict[int, list[tuple[int, Path]]] = {}
    for name, path in there.items():
        if (own := OWN.fullmatch(path.stem)) and own[2] in known:
            numbers.setdefault(known[own[2]], []).append((int(own[1]), path))
            continue
        if not (match := NUMBERED.fullmatch(path.stem)):
            raise ValueError(
                f"picture {name} has no number in its name by which it is matched with a prompt of {prompts}; name it "
                "17.png, or 17_2.png, for the prompts numbered from 0, or give a table with a column file"
            )
        numbers.setdefault(int(match[1]), []).append((int(match[2] or 0), path))
    for mine in numbers.values():
        seconds = [second for second, _ in mine]
        if twice := [path.name for second, path in mine if seconds.count(second) > 1]:
            raise ValueError(f"pictures {_some(twice)} have the same numbers; take all but one out, or name a table")
    first = 1 if 0 not in numbers and n in numbers else 0
    if first:
        remarks.append(f"pictures are numbered from 1 to {n}: number 1 is of the first prompt")
    return {
        number - first: tuple(path for _, path in sorted(mine))
        for number, mine in numbers.items()
        if number - first < n
    }


__all__ = ["SUFFIXES", "Gallery", "gallery"]
