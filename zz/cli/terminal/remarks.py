"""What a table leaves out, or shows of less than was asked for: one line each, below it."""

from collections.abc import Iterator, Mapping, Sequence
from math import isinf, isnan

from zz.lab.grid import Grid
from zz.lab.results import Results
from zz.lab.store.manifest import Row

ENOUGH = 10  # pictures a dimension, from which on the bias of a Fréchet distance is small beside what is compared


def of_cells(results: Results, names: Sequence[str]) -> Iterator[str]:
    """Of the table of rows, for these metrics."""
    rows = results.manifest.rows
    if several := sorted({row.repeats for row in rows if row.repeats > 1}):
        yield f"means and intervals are over prompts, of {' or '.join(map(str, several))} pictures each"
    single, blank = False, False
    for name in names:
        scored = [row for row in rows if name in (row.scorers or {})]
        blank |= len(scored) < len(rows)
        found = [results.mean(row, name) for row in scored]
        single |= any(isinf(x.low) and not isnan(x.value) for x in found)
        yield from of_fewer(results, name)
        if none := [row.title for row, x in zip(scored, found, strict=True) if isnan(x.value)]:
            why = "no picture has a score"
            if results.metrics[name]["kind"] == "set":
                why = "too few pictures, or no prompt has two where it needs them; what it refused is said above"
            of = f" for {_titles(none)}" if len(none) < len(scored) else ""
            yield f"{name} has no value (-){of}: {why}"
        if results.metrics[name].get("of_covariance"):
            yield from _few(results, scored, name)
    if blank:
        yield "where a cell is empty, the row was not asked to be scored by it"
    if single:
        yield "a value without an interval is of one prompt"


def of_fewer(results: Results, name: str) -> Iterator[str]:
    """Rows of which this metric's number is of fewer prompts than were asked for."""
    rows = [row for row in results.manifest.rows if name in (row.scorers or {})]
    short = [f"{n} of {r.wanted} for {r.title}" for r in rows if 0 < (n := results.scored(r, name)) < r.wanted]
    if short:
        yield f"{name} is of fewer prompts: {_titles(short)}"


def of_comparisons(results: Results, partial: bool, scores: Sequence[str]) -> Iterator[str]:
    """Of the table of comparisons, where `scores` is what it shows, or empty for all."""
    lacking: dict[tuple[str, str], list[str]] = {}
    never: dict[str, str] = {}
    several = 1
    for row in results.manifest.rows:
        for role, control in results.manifest.controls_of(row):
            several = max(several, min(row.repeats, control.repeats))
            for name, about in (row.scorers or {}).items():
                if scores and name not in scores:
                    continue
                if about["kind"] == "set" or about["higher_is_better"] is None:
                    never[name] = "of a whole set" if about["kind"] == "set" else "neither direction is better"
                    continue
                ours, theirs = results.by_picture(row, name).keys(), results.by_picture(control, name).keys()
                both = len(ours & theirs)
                if both == row.wanted:
                    continue
                how = f"is on {both} of {row.wanted} prompts"
                if not (both and (partial or ours <= theirs)):
                    how = f"is left out: {both} of {row.wanted} prompts have scores on both sides"
                    how += "; allow_partial=true shows it" if both else ""
                lacking.setdefault((name, how), []).append(f"{row.title} against {role}")
    if several > 1:
        yield "wins, ties and losses are pairs of pictures of one seed; rates, intervals and p are over prompts"
    for (name, how), who in lacking.items():
        yield f"{name} {how}: {_titles(who)}"
    if never:
        yield "not compared in pairs: " + ", ".join(f"{name} ({why})" for name, why in never.items())


def of_grid(grid: Grid, fewer: Mapping[str, int]) -> Iterator[str]:
    """Of a grid: what stands nowhere in it, and what is `fewer` prompts than its row was asked for."""
    if fewer:
        yield f"of fewer prompts than asked for: {_titles([f'{n} for {title}' for title, n in fewer.items()])}"
    if grid.left_out:
        axes = ", ".join(filter(None, (grid.rows, grid.columns)))
        yield f"left out, for they lack {axes} or {grid.score}: {_titles(grid.left_out)}"
    if len(grid.places) < len(grid.row_values) * len(grid.column_values):
        yield "where a place is empty, the store holds no such row"


def _few(results: Results, rows: Sequence[Row], name: str) -> Iterator[str]:
    """Sets whose covariance is of few pictures for what their features have dimensions."""
    sizes = set()
    for row in rows:
        there = results.features(row, (row.scorers or {})[name]["features"])
        vectors = [there[p.name] for p in results.pictures(row) if p.name in there]
        if vectors and len(vectors) < ENOUGH * len(vectors[0]):
            sizes.add((len(vectors), len(vectors[0])))
    if not sizes:
        return
    few, dimensions = min(sizes)
    if few < dimensions:
        yield (
            f"{name}: {few} pictures are fewer than its features have dimensions ({dimensions}), so that their "
            "covariance is singular: compare it only between sets of as many pictures"
        )
    else:
        yield (
            f"{name}: {few} pictures are few for features of {dimensions} dimensions, and the fewer, the higher it is: "
            "compare it only between sets of as many pictures"
        )


def _titles(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more
