"""What an experiment shows, as Markdown with figures beside it."""

from collections.abc import Sequence
from pathlib import Path

import pandas

from zz.analysis.render import frame
from zz.analysis.render import markdown as md
from zz.lab.view import Table, Verdict, View


def table(one: Table, unique: bool = False) -> pandas.DataFrame:
    """A table as a frame.

    unique: columns that are called alike, such as `printed`, get the name of the one before them, for other programs
    """
    lines = [["" if x is None else f"{x:.3g}" if isinstance(x, float) else x for x in line] for line in one.lines]
    heads = list(one.columns)
    if unique:
        twice = {head for head in heads if heads.count(head) > 1}
        heads = [f"{heads[i - 1]} {head}" if head in twice else head for i, head in enumerate(heads)]
    return pandas.DataFrame(lines, columns=heads)


def markdown(view: View, figures: Sequence[str] = ()) -> str:
    """The page; `figures` are the files that were drawn, by the order of the view's."""
    parts = [f"# {view.title}", view.claim]
    if view.verdicts:
        parts.append(_verdicts(view.verdicts))
    for one, path in zip(view.figures, figures, strict=True):
        parts.append(f"![{one.caption}]({path})\n\n{one.caption}")
    for some in view.tables:
        parts.append(f"## {some.title}\n\n{frame.markdown(table(some)).strip()}")
    if view.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in view.notes))
    return "\n\n".join(parts) + "\n"


def write(view: View, out: Path) -> Path:
    """Write OUT.md and OUT-<figure>.png; return the page's path."""
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn = []
    for figure in view.figures:
        path = out.with_name(f"{out.name}-{figure.name}.png")
        figure.draw(path)
        drawn.append(path.name)
    page = out.with_name(f"{out.name}.md")
    page.write_text(markdown(view, drawn), encoding="utf-8", errors="backslashreplace")
    return page


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    lines = [[part.replace("|", frame.PIPE) for part in (one.claim, one.status, one.evidence)] for one in verdicts]
    return md.table(("claim", "status", "evidence"), lines)


__all__ = ["markdown", "table", "write"]
