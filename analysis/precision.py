"""At which precision networks ran, where not all in float32: parts of an experiment may come of several machines."""

from collections.abc import Iterator, Mapping

from zz.lab.results import Results
from zz.lab.store.manifest import Row


def precisions(results: Results, rows: Mapping[str, Row]) -> Iterator[str]:
    """A note for each precision but float32, with what ran at it.

    rows: by what they are called
    """
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        found.setdefault(results.store.cell(row.cell)[0].ledger["precision"], []).append(name)
    for precision, names in found.items():
        if precision != "32":
            others = "; the others in float32" if "32" in found else ""
            yield f"networks at precision {precision}: {'; '.join(names)}{others}"


__all__ = ["precisions"]
