"""The paper's claim that zigzag works on every class of model, on the zoo: what is gain, what guidance, what the rest.

Each model at the guidance that is best for its standard sampling on held-out prompts, at its own T and at 4, 10 and 20.
"""

from zz.analysis.pages.zoo import ACCURACY, ALIGNMENT, CLAIM, HALF, Subject, view
from zz.analysis.paper.spec import Column
from zz.lab.experiment import Experiment, Layout

CLIPS = Column("clips right", "motion_correct", times=100)
FRAMES = Column("frames right", "motion_frames", times=100)
MODELS = {
    "shapes": Subject("U-Net, eps", 20, 4),
    "shapes_v": Subject("U-Net, v", 20, 5),
    "shapes_turbo": Subject("distilled, guided", 4, 3),
    "shapes_turbo_free": Subject("distilled, unguided", 4, 1),
    "shapes_dpo": Subject("U-Net, preferences", 20, 3),
    "shapes_dit": Subject("transformer, v", 20, 7),
    "shapes_xl": Subject("U-Net, eps, two texts", 20, 2),
    "shapes_flow": Subject("transformer, flow", 20, 2),
    "shapes_motion": Subject("clips, eps", 20, 4, CLIPS, FRAMES),
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


def judged_by(subject: Subject) -> str:
    """The scorers of a model that is judged by others than the common ones."""
    own = (subject.accuracy.scorer, subject.soft.scorer)
    return "" if own == (ACCURACY.scorer, ALIGNMENT.scorer) else f" scorers=[{','.join(own)}]"


def cells() -> tuple[str, ...]:
    """A line for each model, T and method; no half of no guidance."""
    return tuple(
        f"label='{model} | {T} | {method}' model={model} steps={T} "
        f"gamma1={one.gamma1 / 2 if method == HALF else one.gamma1:g} {words}{judged_by(one)}"
        + ("" if one.T == T else " limit=200")
        for model, one in MODELS.items()
        for T in sorted({one.T, *OTHERS})
        for method, words in METHODS.items()
        if method != HALF or one.gamma1 > 1
    )


EXPERIMENT = Experiment(
    claim=CLAIM,
    common="scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,cleanliness]",
    cells=cells(),
    cost="an hour of one CPU core for a U-Net of 32 pixels (shapes: 55 minutes in float32), several for clips",
    layout=Layout(scores=("shapes_correct", "shapes_alignment"), by="tag"),
    view=lambda results: view(results, MODELS, tuple(METHODS)[1:]),
)
