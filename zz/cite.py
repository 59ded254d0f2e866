"""python -m zz.cite: BibTeX of everything that a store used."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("cite", "cite")


if __name__ == "__main__":
    sys.exit(main())
