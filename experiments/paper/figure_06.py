"""Figure 6: winning rates over standard sampling on DreamShaper-xl-v2-turbo at 4 steps, on Pick-a-Pic and DrawBench."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import BOTH, STANDARD, WINS, ZIGZAG, bars
from zz.lab.experiment import Scales

FIGURE = Spec(
    title="Figure 6",
    claim="Z-Sampling wins more than 88 % of the pairs in HPS v2.",
    rows=(STANDARD, *ZIGZAG),
    columns=WINS,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "Standard"),),
    against={"Z-Sampling": "Standard", "Z-Sampling, ref_0_22": "Standard"},
)
EXPERIMENT = bars(FIGURE, "model=dreamshaper", "12 cells of 100 or 200 pictures", Scales(prompts=200))
