"""Figure 21: winning rates over standard sampling on SD 2.1 at 50 steps."""

from zz.experiments.paper.rows import OTHER_STEPS, bars, winning
from zz.lab.experiment import Scales

FIGURE = winning("Figure 21", OTHER_STEPS)
EXPERIMENT = bars(FIGURE, "model=sd21", "6 cells of 100 pictures", Scales())
