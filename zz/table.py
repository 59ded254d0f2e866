"""python -m zz.table: what a store holds of a run or an experiment, as a table. Makes nothing."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("table", "table")


if __name__ == "__main__":
    sys.exit(main())
