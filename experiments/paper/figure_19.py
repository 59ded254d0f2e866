"""Figure 19: winning rates over standard sampling on SDXL at 10 steps."""

from zz.experiments.paper.rows import OTHER_STEPS, bars, winning
from zz.lab.experiment import Scales

FIGURE = winning("Figure 19", OTHER_STEPS)
EXPERIMENT = bars(FIGURE, "model=sdxl steps=10", "6 cells of 100 pictures", Scales())
