"""python -m zz.report: one HTML page of a store: claims, tables, pairs of pictures. Makes no picture."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("report", "report")


if __name__ == "__main__":
    sys.exit(main())
