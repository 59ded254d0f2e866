"""Hydra launchers that hand every cell of a sweep over as one, and its sweeper, which leaves their configs to them.

Hydra makes launchers by itself, so the way back to the command is a list in zz.cli.command.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from zz.cli.command import pending_sweeps

# Where hydra-submitit-launcher is installed, it has schemas by the names of ours, to which Hydra would hold them. Its
# part of the package lies before this one on sys.path, and is loaded by now.
for name in ("submitit_slurm.yaml", "submitit_local.yaml"):
    ConfigStore.instance().repo.get("hydra", {}).get("launcher", {}).pop(name, None)


class Sweep(Launcher):
    """`hydra/launcher=zz`, the default: one plan for the whole sweep."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Nothing to prepare."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        pending_sweeps[-1](job_overrides)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


class Submitit(Launcher):
    """`hydra/launcher=submitit_slurm` and `submitit_local`: one array for the distinct cells of a sweep."""

    def __init__(self, **params: Any) -> None:
        self.params = {k: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for k, v in params.items()}

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Nothing to prepare."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        pending_sweeps[-1](job_overrides, self.params)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


class Cells(BasicSweeper):
    """`hydra/sweeper=zz`, the default: Hydra's own, without composing each cell's config only to see that it can be.

    Our launchers compose all cells at once, and a sweep of a hundred waits for ten seconds less.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        if not isinstance(self.launcher, (Sweep, Submitit)):
            super().validate_batch_is_legal(batch)
