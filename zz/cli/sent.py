"""What a job that submitit starts does: the command for each of its cells, one after another."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from zz.lab.slurm import requeue_if_preempted


class Sent:
    """Called in the job with the words of its cells; submitit sends it anew before a time limit."""

    def __call__(self, cells: Sequence[Sequence[str]]) -> int:
        """Make them; return the worst exit code. What ends it early leaves no result behind: the job is still due."""
        codes = [0]
        for words in cells:
            sys.argv = ["zz.run", *words]
            codes.append(import_module("zz.run").main())
            if codes[-1] > 128:
                requeue_if_preempted()
                raise SystemExit(codes[-1])
        return max(codes)

    def checkpoint(self, cells: Sequence[Sequence[str]]) -> Any:
        """The same again: what is made is kept."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, cells)


__all__ = ["Sent"]
