"""Table 12: how many nodes k one reflection goes back, on SDXL."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 12",
    claim="One node back is best; more of them come closer to the end-to-end way.",
    rows=(
        Line("k = 0 (SDXL)", "sampler=standard"),
        *(Line(f"k = {k}", f"sampler=zigzag k={k} controls=true") for k in (1, 2, 3, 4)),
        *(Line(f"k = {k}, ref_0_22", f"sampler=zigzag k={k} inversion=ref_0_22") for k in (1, 2, 3, 4)),
    ),
    columns=PREFERENCE,
    sets=PICKAPIC,
    claims=(Claim("k = 1", "k = 0 (SDXL)"), *(Claim("k = 1", f"k = {k}") for k in (2, 3, 4))),
    unknown=("lambda, and which steps are reflected where k is above 1; here T - k, each of the first",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "18 cells of 100 pictures", Scales(prompts=200, smoke={"steps": "5"}))
