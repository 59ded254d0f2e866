"""python -m zz.ls: the cells of a store, and how complete they are."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("ls", "ls")


if __name__ == "__main__":
    sys.exit(main())
