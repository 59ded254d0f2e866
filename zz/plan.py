"""python -m zz.plan: what zz.run would do with the same words, and how long it would take. Runs nothing."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli import terminal
from zz.cli.config import command
from zz.lab.calibration import estimate, shares
from zz.run import request


def plan(configs: Sequence[DictConfig]) -> int:
    """Show the plan and an estimate from a short measurement; return the exit code."""
    out = terminal.console()
    asked = request(configs)
    terminal.show_plan(out, asked.plan)
    if saved := shares(asked.jobs):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    terminal.show_jobs(out, asked.plan)
    if asked.plan.images:
        out.print("measuring, a batch of each model ...")
        found = estimate(asked.plan, asked.runner)
        workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
        out.print(
            f"estimate: {terminal.duration(found.hours)} on {workers}, {found.device_hours:.2g} device hours; "
            "measured on one batch of each model, loading and writing left out"
        )
    return 0


def main() -> int:
    """The command."""
    return command(plan, "config")


if __name__ == "__main__":
    sys.exit(main())
