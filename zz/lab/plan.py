"""What has to be done: distinct rows, what they lack, and what that costs. Runs nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from zz.data.base import PromptList
from zz.diffusion.cost import Cost
from zz.lab.job import Job
from zz.lab.sharing import families, savings
from zz.lab.store.store import Store


@dataclass(frozen=True)
class Plan:
    """Distinct rows, in the order they were first asked for, and what they lack."""

    asked: int  # rows asked for, controls not counted
    own: int  # distinct rows among them; the rest are controls
    jobs: tuple[Job, ...]
    missing: tuple[int, ...]  # pictures, by job
    broken: tuple[str, ...]  # pictures that are there but not whole
    shared: tuple[Cost, ...]  # by job: predictions and evaluations saved by prefix sharing; an estimate where cells
    # miss different pictures

    @property
    def images(self) -> int:
        """Pictures to make."""
        return sum(self.missing)

    @property
    def there(self) -> int:
        """Pictures that are there."""
        return sum(job.wanted for job in self.jobs) - self.images

    @property
    def saved(self) -> Cost:
        """What sharing saves over all jobs."""
        return Cost(sum(c.predictions for c in self.shared), sum(c.evals for c in self.shared))

    @property
    def costs(self) -> list[Cost]:
        """By job: what its missing pictures cost, what is shared left out."""
        return [
            Cost(n * cost.predictions - shared.predictions, n * cost.evals - shared.evals)
            for cost, n, shared in zip((j.recipe.cost for j in self.jobs), self.missing, self.shared, strict=True)
        ]

    @property
    def predictions(self) -> int:
        """Guided predictions to make."""
        return sum(cost.predictions for cost in self.costs)

    @property
    def evals(self) -> int:
        """Network evaluations to make."""
        return sum(cost.evals for cost in self.costs)


def plan(jobs: Sequence[Job], asked: int, store: Store | None, share: bool = True, verify: bool = False) -> Plan:
    """Merge equal rows and look up what is already done. The first `asked` jobs were asked for; controls follow.

    store:  None: nothing is
    share:  whether the runner will share what trajectories have in common
    verify: look at every picture file, also at those that were found whole before
    """
    distinct = merged(jobs)
    own = len(merged(jobs[:asked]))
    missing, broken = {job.id: job.wanted for job in distinct}, list[str]()
    if store:
        for job in distinct:
            lack = store.missing(job.cell, job.names(), verify)
            missing[job.id] = len(lack.names)
            broken += [str(store.image_path(job.cell, name)) for name in lack.broken]
    shares: dict[str, Cost] = {}
    for family in families(job for job in distinct if missing[job.id]):
        if share and len(family) > 1:
            for job, part in zip(family, savings(family), strict=True):
                n = min(missing[job.id], missing[family[0].id])
                shares[job.id] = Cost(n * part.predictions, n * part.evals)
    found = tuple(shares.get(job.id, Cost(0, 0)) for job in distinct)
    return Plan(asked, own, tuple(distinct), tuple(missing.values()), tuple(broken), found)


def shares(found: Plan, batch_size: Callable[[Job], int], share: bool = True) -> int:
    """How many can work on a plan at once: its slots, where those of trajectories that begin alike are one."""
    slots = {job.id: -(-missing // batch_size(job)) for job, missing in zip(found.jobs, found.missing, strict=True)}
    if not share:
        return sum(slots.values())
    return sum(max(slots[job.id] for job in family) for family in families(found.jobs))


def merged(jobs: Iterable[Job]) -> list[Job]:
    """One job a row, in the order the rows first appear: the most entries and repeats that any asks for."""
    found: dict[str, Job] = {}
    for job in jobs:
        known = found.setdefault(job.id, job)
        if known is not job and (known.limit, known.prompts.repeats) != (job.limit, job.prompts.repeats):
            limits = (known.limit, job.limit)
            most = None if None in limits else max(n for n in limits if n is not None)
            repeats = max(known.prompts.repeats, job.prompts.repeats)
            prompts = PromptList(known.prompts.name, known.prompts.entries, repeats, known.prompts.dropped)
            found[job.id] = replace(known, prompts=prompts, limit=most)
    return list(found.values())
