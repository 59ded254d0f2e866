"""python -m zz.doctor: what zz.run would still need with the same words. Makes nothing, downloads no weights."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("doctor", "doctor")


if __name__ == "__main__":
    sys.exit(main())
