"""Any two fields of a store's cells against each other, in one score: what a sweep of one's own is looked at by."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zz.lab.results import Results, Where, meta_is
from zz.lab.stats import Interval
from zz.lab.store.atomic import StoreError
from zz.lab.store.manifest import Manifest, Row, find, merged, names
from zz.lab.store.store import Store

SHOWN = ("mean", "wins", "difference")  # of a row; the other two are paired with another row
_ANSWERS = {"T": "steps"}  # words for fields
_CLASSES = ("sampler", "solver", "guidance", "schedule", "sampler.inner", "guidance.inner")  # fields that are a class

Value = Any  # of a field: None, a bool, a number, a text or a list


class Place(NamedTuple):
    """What stands at a value of `rows` and one of `columns`."""

    row: Row
    value: Interval
    n: int  # prompts that it is of


class Grid(NamedTuple):
    """One score of a store's rows over two fields.

    of:       a value of `by`; "" for all prompts
    places:   by the value of `rows` and that of `columns`, as they are shown
    left_out: rows that have not both fields, or not the score
    """

    rows: str
    columns: str | None
    score: str
    shown: str
    against: str
    of: str
    row_values: Sequence[Value]
    column_values: Sequence[Value]
    places: Mapping[tuple[str, str], Place]
    left_out: Sequence[str]

    def at(self, row: Value, column: Value) -> Place | None:
        """The place of two values."""
        return self.places.get((text(row), text(column)))

    @property
    def quantity(self) -> str:
        """What its numbers are."""
        about = {"mean": "mean", "wins": "winning rate", "difference": "mean paired difference"}[self.shown]
        return f"{about} of {self.score}" + (f" against {self.against}" if self.against else "")

    @property
    def caption(self) -> str:
        """What it shows, in a line."""
        across = f", {self.columns} across" if self.columns else ""
        return f"{self.quantity}{', ' if self.of else ''}{self.of}: {self.rows} down{across}"


def everything(store: Store, on_problem: Callable[[str], None]) -> Manifest:
    """The rows of all manifests of a store as one; `on_problem` hears of a manifest that cannot be read."""
    rows: list[Row] = []
    for name in reversed(names(store)):
        try:
            rows += find(store, name).rows
        except StoreError as error:
            on_problem(str(error))
    return Manifest("store", merged(rows))


def grids(
    results: Results,
    rows: str,
    columns: str | None,
    score: str | None = None,
    *,
    dataset: str | None = None,
    where: Sequence[str] = (),
    against: str | None = None,
    shown: str | None = None,
    by: str | None = None,
) -> list[Grid]:
    """The grid, or with `by` one for each value of that field of the prompts' meta.

    rows, columns: fields of cells: a word such as lambda, gamma2, steps, sampler, or a dotted one such as solver.eta
    score:         of `results.metrics`; None where there is just one
    dataset:       of rows over several prompt sets; None where there is just one
    where:         FIELD=VALUE, that rows must have
    against:       a row that all are paired with, by the beginning of its cell's key, or a role: each with its own
    shown:         of SHOWN; None: mean, or wins where `against` is given

    Raises ValueError with the field, the value and the remedy.
    """
    name, shown = _checked(results, dataset, score, against, shown, by)
    all_rows = [row for row in results.manifest.rows if dataset in (None, row.dataset)]
    fields = {row.id: fields_of(results.store, row) for row in all_rows}
    asked = [_asked(word, fields, all_rows) for word in where]
    axes = [_full("rows", rows, fields, all_rows)]
    axes += [_full("columns", columns, fields, all_rows)] if columns else []
    some = [row for row in all_rows if all(text(fields[row.id].get(field)) == value for field, value in asked)]
    if "sampler" not in axes and "sampler" not in [field for field, _ in asked]:
        some = [row for row in some if row.role == "asked"] or some
    there = [row for row in some if all(a in fields[row.id] for a in axes) and name in (row.scorers or {})]
    if not there:
        raise ValueError(f"no row has {' and '.join([*axes, name])}" + (f" where {', '.join(where)}" if where else ""))
    pairs = {row.id: _partner(results.manifest, row, against) for row in there} if against else {}
    places: dict[tuple[str, str], Row] = {}
    for row in there:
        key = text(fields[row.id][axes[0]]), text(fields[row.id][axes[1]] if columns else None)
        if (other := places.setdefault(key, row)) is not row:
            _refuse_two(row, other, fields, axes, key)
    values = [_ordered([fields[row.id][axis] for row in there]) for axis in axes] + ([] if columns else [[None]])
    left_out = [row.title for row in some if row not in there]
    label = _label(results.manifest, against) if against else ""
    found = []
    for value in results.categories(by, there) if by else [None]:
        only = meta_is(by, value) if by and value is not None else None
        filled = {k: _place(results, row, name, only, shown, pairs.get(row.id)) for k, row in places.items()}
        of = f"{by}={value}" if by else ""
        found.append(Grid(rows, columns, name, shown, label, of, values[0], values[1], filled, left_out))
    return found


def _checked(
    results: Results, dataset: str | None, score: str | None, against: str | None, shown: str | None, by: str | None
) -> tuple[str, str]:
    """The score, and what is shown of it."""
    sets = list(dict.fromkeys(row.dataset for row in results.manifest.rows))
    if dataset is None and len(sets) > 1:
        raise ValueError(f"the store has rows over {', '.join(sets)}: say which, dataset={sets[0]}")
    if dataset is not None and dataset not in sets:
        raise ValueError(f"dataset={dataset} has no rows; there are {', '.join(sets) or 'none'}")
    known = results.metrics
    if score is None and len(known) != 1:
        raise ValueError(f"score= is needed: one of {', '.join(known) or 'none, for no row has a score'}")
    name = score or next(iter(known))
    if name not in known:
        raise ValueError(f"score={name} is of no row; there are {', '.join(known) or 'none'}")
    shown = shown or ("wins" if against else "mean")
    if shown not in SHOWN or (shown == "mean") != (against is None):
        raise ValueError(f"show={shown} must be mean, or with against= wins or difference")
    if known[name]["kind"] == "set" and (against or by):
        raise ValueError(f"score={name} is of a whole set of pictures: it has neither pairs nor categories")
    if against and known[name]["higher_is_better"] is None and shown == "wins":
        raise ValueError(f"score={name}: neither direction is better, so that nobody wins; say show=difference")
    return name, shown


def _place(results: Results, row: Row, name: str, where: Where | None, shown: str, other: Row | None) -> Place:
    if shown == "mean":
        n = results.scored(row, name) if where is None else len(results.scores(row, name, where))
        return Place(row, results.mean(row, name, where), n)
    if other is None:
        return Place(row, Interval(float("nan"), float("nan"), float("nan")), 0)
    found = results.compare(row, other, name, where)
    return Place(row, found.rate if shown == "wins" else found.difference, found.n)


def fields_of(store: Store, row: Row) -> dict[str, Value]:
    """A row's fields by dotted name: sampler.gamma2; sampler for its class."""
    cell, record = store.cell(row.cell)
    flat = {name.removesuffix(".is").removesuffix("_"): x for name, x in cell.flat().items() if name != "format"}
    flat = {name: _snake(x) if name in _CLASSES else x for name, x in flat.items()}
    return flat | {"dataset": row.dataset, "model": str(record.get("model", ""))}


def short(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Fields by their words, gamma2 for sampler.gamma2; of several with one word the outermost, if there is one."""
    found: dict[str, Value] = {}
    for name in fields:
        word = name.rpartition(".")[2]
        like = [n for n in fields if n.rpartition(".")[2] == word and n.count(".") <= name.count(".")]
        if like == [name] and word not in ("is", "version"):
            found[word] = fields[name]
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).lower()


def _full(what: str, word: str, fields: Mapping[str, Mapping[str, Value]], rows: Sequence[Row]) -> str:
    """The dotted name of the field that a word means."""
    names = dict.fromkeys(name for row in rows for name in fields[row.id])
    word = _ANSWERS.get(word, word)
    if word in names:
        return word
    like = [name for name in names if name.rpartition(".")[2] == word]
    best = [name for name in like if name.count(".") == min(n.count(".") for n in like)]
    if len(best) == 1:
        return best[0]
    if best:
        raise ValueError(f"{what}={word} may be {' or '.join(best)}: say which")
    short = dict.fromkeys(name.rpartition(".")[2] for name in names if not name.endswith((".version", ".is")))
    raise ValueError(f"{what}={word} is no field of these cells; there are {', '.join(short)}")


def _asked(word: str, fields: Mapping[str, Mapping[str, Value]], rows: Sequence[Row]) -> tuple[str, str]:
    name, equals, value = str(word).partition("=")
    if not equals:
        raise ValueError(f"where={word} must be FIELD=VALUE")
    full = _full("where", name, fields, rows)
    known = {text(fields[row.id].get(full)) for row in rows}
    plain = _plain(value)
    if plain not in known:
        raise ValueError(f"where={word}: no row has it; there are {', '.join(sorted(known))}")
    return full, plain


def _plain(value: str) -> str:
    """A typed value as a field's would be shown: 0.0 is 0."""
    try:
        return text(float(value))
    except ValueError:
        return value


def text(value: Value) -> str:
    """A value as it is shown."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, int | float):
        return f"{value:g}"
    return "x".join(map(text, value)) if isinstance(value, list) else str(value)


def _ordered(values: Sequence[Value]) -> list[Value]:
    """Each once: numbers by size, anything else in the order in which it comes."""
    found = {text(value): value for value in values}
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in found.values())
    return sorted(found.values()) if numbers else list(found.values())


def _refuse_two(
    row: Row, other: Row, fields: Mapping[str, Mapping[str, Value]], axes: Sequence[str], key: tuple[str, str]
) -> None:
    ours, theirs = fields[row.id], fields[other.id]
    differ = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    at = ", ".join(f"{axis}={value}" for axis, value in zip(axes, key, strict=False))
    said = [f"{name} ({text(theirs.get(name))}, {text(ours.get(name))})" for name in differ]
    if not said:
        raise ValueError(f"two rows have {at}: they are of one cell over prompts that differ, as by their seeds; name=")
    choose = f"where=[{differ[0]}={text(ours.get(differ[0]))}]"
    raise ValueError(f"two rows have {at} and differ in {', '.join(said)}: choose, such as {choose}")


def _partner(manifest: Manifest, row: Row, against: str) -> Row | None:
    """The row that one is paired with: its control of that role, or the one whose cell's key begins so."""
    for role, control in manifest.controls_of(row):
        if role == against:
            return control
    return next((one for one in manifest.rows if one.cell.startswith(against) and len(against) >= 4), None)


def _label(manifest: Manifest, against: str) -> str:
    roles = {role for row in manifest.rows for _, role in row.controls}
    if against in roles:
        return f"its {against}"
    like = {row.cell: row.title for row in manifest.rows if len(against) >= 4 and row.cell.startswith(against)}
    if len(like) > 1:
        raise ValueError(f"against={against} begins {len(like)} keys: {', '.join(like)}; give more of it")
    if like:
        return next(iter(like.values()))
    raise ValueError(
        f"against={against} is neither a role ({', '.join(sorted(roles)) or 'no row has controls'}) "
        "nor the beginning of a cell's key, which zz.ls shows"
    )


__all__ = ["SHOWN", "Grid", "Place", "Value", "everything", "fields_of", "grids", "short", "text"]
