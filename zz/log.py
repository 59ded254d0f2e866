"""python -m zz.log: send what a store holds to Weights & Biases, TensorBoard or CSV files. Makes nothing."""

import sys

from zz.cli.command import command


def main() -> int:
    """The command."""
    return command("log", "log")


if __name__ == "__main__":
    sys.exit(main())
