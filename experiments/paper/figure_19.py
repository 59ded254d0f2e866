"""Figure 19: winning rates over standard sampling on SDXL at 10 steps."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import PICKAPIC, STANDARD, WINS, ZIGZAG, bars
from zz.lab.experiment import Scales

FIGURE = Spec(
    title="Figure 19",
    claim="Z-Sampling wins more than half of the pairs in every score.",
    rows=(STANDARD, *ZIGZAG),
    columns=WINS,
    sets=PICKAPIC,
    claims=(Claim("Z-Sampling", "Standard"),),
    against={"Z-Sampling": "Standard", "Z-Sampling, ref_0_22": "Standard"},
    unknown=("gamma1 and lambda where the steps are not those of Section 4.1; here the model's own and T - 1",),
)
EXPERIMENT = bars(FIGURE, "model=sdxl steps=10", "6 cells of 100 pictures", Scales())
