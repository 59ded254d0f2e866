"""Figure 10: score against time, on SDXL; zigzag with half the steps, half of them reflected, costs as much."""

from functools import partial

from zz.analysis.paper.figures import Curve, cost
from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, drawn
from zz.lab.experiment import Scales

STEPS = (10, 20, 30, 50, 75, 100, 150)  # of standard sampling; the paper's are drawn only
COSTS = (20, 40, 60, 100, 150)  # guided predictions of zigzag: half are steps, half of the steps are reflected
FIGURE = Spec(
    title="Figure 10",
    claim="At equal time Z-Sampling is ahead, and it reaches the best of standard sampling with 36 % less.",
    rows=(
        *(Line(f"Standard, T = {T}", f"sampler=standard steps={T}") for T in STEPS),
        *(Line(f"Z-Sampling, {n}", f"sampler=zigzag budget.nfe={n} budget.rule=paper") for n in COSTS),
        *(
            Line(f"Z-Sampling, {n}, ref_0_22", f"sampler=zigzag inversion=ref_0_22 budget.nfe={n} budget.rule=paper")
            for n in COSTS
        ),
    ),
    columns=PREFERENCE,
    sets=PICKAPIC,
    claims=(
        Claim("Z-Sampling, 20", "Standard, T = 20"),
        Claim("Z-Sampling, 100", "Standard, T = 100"),
        Claim("Z-Sampling, 150", "Standard, T = 150"),
        Claim("Z-Sampling, 60", "Standard, T = 100"),
    ),
    unknown=("steps and device; here T from 10 to 150, and cost in evaluations beside seconds",),
)
CURVES = (
    Curve("standard", "standard", tuple(f"Standard, T = {T}" for T in STEPS)),
    Curve("zigzag", "Z-Sampling", tuple(f"Z-Sampling, {n}" for n in COSTS)),
)
EXPERIMENT = drawn(
    FIGURE,
    "model=sdxl",
    "17 cells of 100 pictures",
    Scales(
        200,
        smoke={
            **{f"steps={T}": str(n) for n, T in enumerate(STEPS, 2)},
            **{f"budget.nfe={n}": str(4 + 4 * i) for i, n in enumerate(COSTS)},
        },
    ),
    partial(cost, spec=FIGURE, lines=CURVES),
)
