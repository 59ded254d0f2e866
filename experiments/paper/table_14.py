"""Table 14: guidance searched for each model and method; on the reported prompts, as the paper did, and on others."""

from typing import Any

from zz.analysis.paper import search
from zz.analysis.paper.spec import Column, Line, Spec
from zz.experiments.paper.rows import MODELS, PREFERENCE, scorers
from zz.experiments.stand_ins import stand_ins
from zz.lab.experiment import Experiment, Scales

SEARCHED = {  # of the paper's ranges 3.5 to 25.5 and 1.5 to 11.5; their steps are not said
    "SD-2.1": (3.5, 5.5, 7.5, 11.5, 17.5, 25.5),
    "SDXL": (3.5, 5.5, 7.5, 11.5, 17.5, 25.5),
    "DreamShaper-xl-v2-turbo": (1.5, 3.5, 5.5, 7.5, 9.5, 11.5),
}
METHODS = {
    "Standard": "sampler=standard",
    "Z-Sampling": "sampler=zigzag controls=[standard,guidance_matched]",
    "Z-Sampling, ref_0_22": "sampler=zigzag inversion=ref_0_22",
}
IN_MINIATURE = ("1.5", "2", "3", "4", "5", "7")  # of a model whose own guidance is 4

TABLE = Spec(
    title="Table 14",
    claim="At the best guidance of each, Z-Sampling is still better than standard sampling.",
    rows=tuple(
        Line(f"{model} | {method} | {number}", f"{MODELS[model]} {words} gamma1={gamma}")
        for model, gammas in SEARCHED.items()
        for method, words in METHODS.items()
        for number, gamma in enumerate(gammas)
    ),
    columns=(*PREFERENCE, Column("Winning Rate", "hps_v21", quantity="wins")),
    sets={"reported": "pickapic", "held out": "pickapic_500 dataset.skip=100 limit=100"},
    unknown=("the steps of the search, and the guidance that it found",),
)


def _view(results: Any) -> Any:
    return search.view(results, TABLE, stand_ins(), tuple(SEARCHED), tuple(METHODS))


EXPERIMENT = Experiment(
    claim=TABLE.claim,
    common=scorers(TABLE.columns),
    cells=TABLE.cells(),
    cost="about 130 cells of 100 pictures",
    view=_view,
    scales=Scales(
        prompts=200,
        mini={
            **{f"gamma1={g}": small for g, small in zip(SEARCHED["SDXL"], IN_MINIATURE, strict=True)},
            "limit": "200",
        },
    ),
)
