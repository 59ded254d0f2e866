"""python -m zz.score: add scores to pictures that exist; never make one."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli import terminal
from zz.cli.config import Refusal, command
from zz.run import finish, request


def score(configs: Sequence[DictConfig]) -> int:
    """Score what is there of the cells that `zz.run` would make with the same words; return the exit code."""
    out = terminal.console()
    asked = request(configs)
    asked.store.check_writable()
    if not asked.plan.there:
        raise Refusal(f"none of these pictures are in {asked.store.root}; say the words that they were made with")
    terminal.show_plan(out, asked.plan, "not made yet, and left so")
    return finish(out, asked, 0)


def main() -> int:
    """The command."""
    return command(score, "config")


if __name__ == "__main__":
    sys.exit(main())
