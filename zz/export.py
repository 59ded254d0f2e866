"""python -m zz.export: the numbers of a store without its pictures, as one small archive, and the status of claims."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("export", "export")


if __name__ == "__main__":
    sys.exit(main())
