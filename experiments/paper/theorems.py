"""Theorems 1 to 3 along trajectories: the identity, both sums, the predicted difference against the observed one."""

from functools import partial

from zz.analysis.paper.theorems import view
from zz.lab.experiment import Experiment, Scales

CLAIM = (
    "The latent difference of zigzag is the sum over steps of its semantic and error terms squared (Theorem 2), grows "
    "with the square of the gap (Theorem 3), and is larger than that of the end-to-end way (after Theorem 2)."
)
MEASURED = "measurements=[reflections] runner.precision=32 scorers=[]"
GAMMAS = {"SDXL": (0, 1.4, 2.8, 4.2, 5.5, 7), "exact model": (0, 0.5, 1, 1.5, 2, 3)}
MODELS = {
    "SDXL": "model=sdxl dataset=pickapic limit=20",
    "exact model": "model=mixture gamma1=2 dataset=mixture limit=20",
}
IN_MINIATURE = {1.4: "1", 2.8: "2", 4.2: "3", 5.5: "4", 7: "6"}  # none of them is one of the exact model's
SAMPLERS = ("zigzag", "end_to_end")

EXPERIMENT = Experiment(
    claim=CLAIM,
    common=MEASURED,
    cells=tuple(
        f"label='{head} | {sampler} | {gamma2:g}' {words} sampler={sampler} gamma2={gamma2:g}"
        for head, words in MODELS.items()
        for sampler in SAMPLERS
        for gamma2 in GAMMAS[head]
    ),
    cost="24 cells of 20 pictures, measured",
    view=partial(view, title="Theorems 1 to 3", claim=CLAIM, heads=tuple(MODELS), samplers=SAMPLERS),
    scales=Scales(20, mini={f"gamma2={g:g}": small for g, small in IN_MINIATURE.items()}),
)
