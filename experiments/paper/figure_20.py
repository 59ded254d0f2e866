"""Figure 20: winning rates over standard sampling on SDXL at 50 steps."""

from zz.experiments.paper.rows import bars, winning
from zz.lab.experiment import Scales

FIGURE = winning("Figure 20")
EXPERIMENT = bars(FIGURE, "model=sdxl", "6 cells of 100 pictures", Scales())
