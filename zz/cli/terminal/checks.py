"""What the doctor found."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zz.hub.check import Check

STATES = {"ok": "green", "missing": "red", "unknown": "yellow"}  # and their colours


def show_checks(out: Console, title: str, checks: Sequence[Check]) -> None:
    """What was looked at and found; then what to do, in lines that can be copied."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.show_header = False
    for check in checks:
        table.add_row(check.name, f"[{STATES[check.state]}]{check.state}[/]", escape(check.found))
    out.print(table)
    for check in checks:
        if check.remedy:
            out.print(f"[{STATES[check.state]}]{check.name}:[/] {escape(check.remedy)}", soft_wrap=True)
    missing = dict.fromkeys(check.name for check in checks if check.state == "missing")
    out.print(f"[red]missing:[/] {', '.join(missing)}" if missing else "[green]everything needed is here[/]")
