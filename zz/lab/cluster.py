"""Which shard of a run is this process's: of the tasks of an srun step, of a SLURM array, or all of it."""

import os
from collections.abc import Mapping
from typing import NamedTuple


class Shard(NamedTuple):
    """One of `world` equal shards. Every slot has one owner, whatever is done already."""

    rank: int = 0
    world: int = 1

    def owns(self, ordinal: int) -> bool:
        """Whether the slot that comes at this place among all slots of the run falls to this shard."""
        return ordinal % self.world == self.rank

    def __str__(self) -> str:
        return f"shard {self.rank + 1} of {self.world}"

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """As SLURM tells it. Under submitit an array index is another cell, which is not shared with the others.

        An index that comes without the array's bounds is taken for one by itself.
        """
        step, tasks = environment.get("SLURM_STEP_NUM_TASKS"), 1  # set by srun alone; in a batch script there is one
        task = 0
        if step is not None:
            tasks, task = int(step), int(environment.get("SLURM_PROCID", 0))
        indices, index = 1, 0
        if "SLURM_ARRAY_TASK_ID" in environment and "SUBMITIT_EXECUTOR" not in environment:
            here = int(environment["SLURM_ARRAY_TASK_ID"])
            first, last = (int(environment.get(f"SLURM_ARRAY_TASK_{name}", here)) for name in ("MIN", "MAX"))
            stride = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
            indices, index = (last - first) // stride + 1, (here - first) // stride
        return cls(index * tasks + task, indices * tasks)


__all__ = ["Shard"]
