"""python -m zz.dashboard: a Weights & Biases workspace and report of what was sent there, as code."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("dashboard", "dashboard")


if __name__ == "__main__":
    sys.exit(main())
