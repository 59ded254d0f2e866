"""python -m zz.plan: what zz.run would do with the same words, and how long it would take. Runs nothing."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("plan", "plan")


if __name__ == "__main__":
    sys.exit(main())
