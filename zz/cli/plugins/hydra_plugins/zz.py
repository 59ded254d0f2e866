"""A Hydra launcher that composes every config of a sweep, then hands them over as one."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from zz.cli.config import at_once


class Sweep(Launcher):
    """`hydra/launcher=zz`, the default: one plan for the whole sweep."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.load, self.config = hydra_context.config_loader.load_sweep_config, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configs = [self.load(self.config, list(overrides)) for overrides in job_overrides]
        for config in configs:
            with open_dict(config):
                config.pop("hydra")
        at_once[-1](configs)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]
