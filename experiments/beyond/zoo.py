"""The paper's claim that zigzag works on every class of model, on the zoo: what is gain, what guidance, what the rest.

Each model at the guidance that is best for its standard sampling on held-out prompts, at its own T and at 4, 10 and 20.
"""

from zz.analysis.pages.zoo import CLAIM, HALF, view
from zz.lab.experiment import Experiment, Layout

MODELS = {  # name -> its class, its own T, and the gamma1 that it recommends
    "shapes": ("U-Net, eps", 20, 4),
    "shapes_v": ("U-Net, v", 20, 5),
    "shapes_turbo": ("distilled, guided", 4, 3),
    "shapes_turbo_free": ("distilled, unguided", 4, 1),
    "shapes_flow": ("transformer, flow", 20, 2),
}
CONTROLS = "controls=[standard,guidance_matched,compute_matched_predictions,compute_matched_evals,e_cfg]"
METHODS = {
    "zigzag": f"sampler=zigzag measurements=[effective_guidance] {CONTROLS}",
    HALF: "sampler=zigzag controls=[]",
    "implicit zigzag": "sampler=implicit_zigzag controls=[]",
    "resampling": "sampler=resampling controls=[]",
    "end to end": "sampler=end_to_end controls=[]",
}
OTHERS = (4, 10, 20)  # T, on fewer prompts


def cells() -> tuple[str, ...]:
    """A line for each model, T and method; no half of no guidance."""
    return tuple(
        f"label='{model} | {T} | {method}' model={model} steps={T} gamma1={gamma1 / 2 if method == HALF else gamma1:g} "
        f"{words}" + ("" if own == T else " limit=200")
        for model, (_, own, gamma1) in MODELS.items()
        for T in sorted({own, *OTHERS})
        for method, words in METHODS.items()
        if method != HALF or gamma1 > 1
    )


EXPERIMENT = Experiment(
    claim=CLAIM,
    common="scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,cleanliness]",
    cells=cells(),
    cost="about twenty minutes a model on two CPU cores with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment"), by="tag"),
    view=lambda results: view(results, MODELS, tuple(METHODS)[1:]),
)
