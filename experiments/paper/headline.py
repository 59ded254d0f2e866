"""The abstract's winning rate of up to 94 %, the introduction's 36 % less time: cells of Table 13 and Figure 10."""

from zz.analysis.paper.headline import view
from zz.experiments.paper.figure_10 import EXPERIMENT as COSTS
from zz.experiments.paper.figure_10 import FIGURE
from zz.experiments.paper.table_13 import EXPERIMENT as RATES
from zz.experiments.paper.table_13 import TABLE
from zz.experiments.stand_ins import stand_ins
from zz.lab.experiment import Experiment

CLAIM = "Zigzag wins up to 94 % of the pairs, and reaches the best of standard sampling in 36 % less time."

EXPERIMENT = Experiment(
    claim=CLAIM,
    cells=(
        *(f"{RATES.common} {line}" for line in RATES.cells),
        *(f"{COSTS.common} {line}" for line in COSTS.cells),
    ),
    cost="the cells of Table 13 and Figure 10",
    view=lambda results: view(results, CLAIM, TABLE, FIGURE, stand_ins()),
    scales=COSTS.scales,
)
