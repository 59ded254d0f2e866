"""Figure 22: winning rates over standard sampling on Hunyuan-DiT at 10 steps."""

from zz.experiments.paper.rows import OTHER_STEPS, bars, winning
from zz.lab.experiment import Scales

FIGURE = winning("Figure 22", OTHER_STEPS)
EXPERIMENT = bars(FIGURE, "model=hunyuan_dit_12 steps=10", "6 cells of 100 pictures", Scales())
