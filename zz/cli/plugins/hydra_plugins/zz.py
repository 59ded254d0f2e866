"""A Hydra launcher that hands every cell of a sweep over as one.

Hydra makes launchers by itself, so the way back to the command is a list in zz.cli.command.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from zz.cli.command import pending_sweeps


class Sweep(Launcher):
    """`hydra/launcher=zz`, the default: one plan for the whole sweep."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Nothing to prepare."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        pending_sweeps[-1](job_overrides)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]
