"""Figure 20: winning rates over standard sampling on SDXL at 50 steps."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import PICKAPIC, STANDARD, WINS, ZIGZAG, bars
from zz.lab.experiment import Scales

FIGURE = Spec(
    title="Figure 20",
    claim="Z-Sampling wins more than half of the pairs in every score.",
    rows=(STANDARD, *ZIGZAG),
    columns=WINS,
    sets=PICKAPIC,
    claims=(Claim("Z-Sampling", "Standard"),),
    against={"Z-Sampling": "Standard", "Z-Sampling, ref_0_22": "Standard"},
)
EXPERIMENT = bars(FIGURE, "model=sdxl", "6 cells of 100 pictures", Scales())
