"""`zz score`: add scores to pictures that exist; never make one."""

from collections.abc import Sequence
from functools import partial

from omegaconf import DictConfig, OmegaConf

from zz.cli.conf import Refusal
from zz.cli.config import metrics_of, resolved
from zz.cli.finish import finish
from zz.cli.given import score_given
from zz.cli.request import put, request
from zz.cli.terminal.console import console, warn
from zz.cli.terminal.parity import check_parity, show_parity
from zz.cli.terminal.plan import show_plan
from zz.lab.results import Results


def score(configs: Sequence[DictConfig]) -> int:
    """Score what is there of the cells that `zz.run` would make with the same words; return the exit code."""
    out = console(needed=False)
    if any(config.images is not None for config in configs):
        if len(configs) > 1:
            raise Refusal(f"images={configs[0].images} is one row; leave out what is swept over")
        return score_given(out, configs[0])
    if alone := [name for name in ("prompts", "seeds", "against") if configs[0][name] is not None]:
        raise Refusal(
            f"{alone[0]}={configs[0][alone[0]]} is of pictures that were not made here; name their folder too, as "
            "images=FOLDER"
        )
    pair = check_parity(OmegaConf.to_object(configs[0].parity), metrics_of(resolved(configs[0])))
    asked = request(configs, partial(warn, out))
    if not asked.plan.there:
        raise Refusal(f"none of these pictures are in {asked.store.root}; say the words that they were made with")
    show_plan(out, asked.plan, "not made yet, and left so")
    asked.loggers.on_start(asked.plan, asked.manifest, asked.configs, asked.store)
    put(asked)
    try:
        code = finish(out, asked, 0)
        if pair:
            show_parity(out, Results(asked.store, asked.manifest), pair)
        return code
    finally:
        asked.loggers.on_end(0, asked.plan.images)
