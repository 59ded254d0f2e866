"""python -m zz.run: make what is missing, score it, compare it."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("run", "config")


if __name__ == "__main__":
    sys.exit(main())
