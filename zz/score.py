"""python -m zz.score: add scores to pictures that exist; never make one."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("score", "score")


if __name__ == "__main__":
    sys.exit(main())
