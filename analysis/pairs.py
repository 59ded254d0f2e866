"""What a method is compared with, beyond the controls that the manifest names."""

from collections.abc import Sequence

from zz.analysis.cells import MethodCell

WHOLE = (4.0, 2.0)  # gamma1 at which standard sampling is made with more steps: its best, and zigzag's
SOLVERS = ("DDIM", "EulerAncestral")  # with which standard sampling is made with more steps


def standard(cell: MethodCell, cells: Sequence[MethodCell]) -> MethodCell | None:
    """Standard sampling with DDIM at the same gamma1 and T; CFG++ counts its gamma in another way and has none."""
    if "CFG++" in cell.name:
        return None
    where = cell.steps, cell.gamma1
    found = (c for c in cells if c.usual and c.kind == "Standard" and (c.steps, c.gamma1) == where and c is not cell)
    return next(found, None)


def without(cell: MethodCell, cells: Sequence[MethodCell]) -> MethodCell | None:
    """The same without its zigzag, where that is not standard sampling as usual: what the zigzag is put on."""
    inner = cell.sampler.get("inner")
    if not ((cell.kind == "Zigzag" and not cell.usual) or (inner and inner["is"] == "Zigzag")):
        return None
    for other in cells:
        like = other.sampler.get("inner", {}) if inner else other.sampler
        if (
            like.get("is") == "Standard"
            and other.ledger["guidance"] == cell.ledger["guidance"]
            and other.solver == cell.solver
            and other.ledger["model"]["is"] == cell.ledger["model"].get("own", cell.ledger["model"]["is"])
            and other.kind == (cell.kind if inner else "Standard")
            and (other.steps, other.gamma1) == (cell.steps, cell.gamma1)
        ):
            return other
    return None


def as_costly(cell: MethodCell, cells: Sequence[MethodCell]) -> list[MethodCell]:
    """With each of SOLVERS, the cheapest standard sampling at either of WHOLE with at least as many evaluations.

    None for standard sampling with one of them itself.
    """
    found: list[MethodCell] = []
    for solver in SOLVERS:
        enough = [c for c in cells if by_steps(c) and c.solver == solver and c.row.evals >= cell.row.evals]
        least = min((c.row.evals for c in enough), default=0)
        found += [c for c in enough if c.row.evals == least]
    return [] if by_steps(cell) else found


def by_steps(cell: MethodCell) -> bool:
    """Whether it is of the standard sampling that is made with more steps."""
    return cell.kind == "Standard" and cell.plain_cfg and cell.solver in SOLVERS and cell.gamma1 in WHOLE
