"""What an experiment shows, on the terminal: its tables, and the status of its claims."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Shown

from zz.cli.terminal.console import number
from zz.cli.terminal.tables import numbered
from zz.lab.view import CONTRADICTED, DIFFERS, HOLDS, REPRODUCED, Table, Value, View
from zz.scorers.interval import Interval

LONGEST = 40  # lines of a table that is shown here
COLOURS = {HOLDS: "green", REPRODUCED: "green", CONTRADICTED: "red", DIFFERS: "red"}


def show_view(out: Console, view: View) -> None:
    """Tables first, then one line a claim."""
    out.print(f"[bold]{escape(view.title)}[/]  {escape(view.claim)}", soft_wrap=True)
    for table in view.tables:
        if len(table.lines) <= LONGEST:
            _table(out, table)
        else:
            out.print(f"{escape(table.title)}: {len(table.lines)} lines, on the page", soft_wrap=True)
    for one in view.verdicts:
        colour = COLOURS.get(one.status, "yellow")
        evidence = f" ({escape(one.evidence)})" if one.evidence else ""
        out.print(f"[{colour}]{one.status}[/]  {escape(one.claim)}{evidence}", soft_wrap=True)


def _table(out: Console, table: Table) -> None:
    shown = Shown(title=table.title)
    for head in table.columns[1:]:
        shown.add_column(head, justify="right")
    lines = [[text(x) for x in line[1:]] for line in table.lines]
    numbered(out, shown, [text(line[0]) for line in table.lines], lines, table.columns[0])


def text(x: Value) -> str:
    """A value as it is shown."""
    if isinstance(x, Interval):
        return number(x)
    if x is None:
        return ""
    return f"{x:.3g}" if isinstance(x, float) else str(x)
