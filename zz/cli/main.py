"""The console script: `zz run ...` is `python -m zz.run ...`."""

import sys
from importlib import import_module
from pathlib import Path

from zz.cli.conf import near

NOT = ("__init__", "sampling", "inversion", "scoring")  # files of zz/ that are no commands


def commands() -> list[str]:
    """The files directly in zz/ that are commands."""
    return sorted(path.stem for path in Path(__file__).resolve().parents[1].glob("[!.]*.py") if path.stem not in NOT)


def main() -> int:
    """Run the command that the first word names, with the words that follow."""
    known, words = commands(), sys.argv[1:]
    sys.path.insert(0, "")  # as `python -m` does: extensions may lie in the current folder
    if not words or words[0] in ("-h", "--help", "help"):
        for name in known:
            said = (import_module(f"zz.{name}").__doc__ or "").partition(": ")[2].splitlines()[0]
            print(f"  zz {name:<10} {said}")
        print("\nzz COMMAND --help says what a command takes")
        return 0 if words else 2
    if words[0] not in known:
        there = f"{near(words[0], known)}; there are {', '.join(known)}"
        print(f"error: zz {words[0]} is no command{there}", file=sys.stderr)
        return 2
    sys.argv = [f"zz.{words[0]}", *words[1:]]
    code: int = import_module(f"zz.{words[0]}").main()
    return code
