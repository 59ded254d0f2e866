"""Figure 23: winning rates over standard sampling by guidance, on DreamShaper: the pictures of Table 13."""

from dataclasses import replace
from functools import partial

from zz.analysis.paper.figures import Curve, swept
from zz.experiments.paper.rows import drawn
from zz.experiments.paper.table_13 import GAMMAS, TABLE
from zz.lab.experiment import Scales

FIGURE = replace(TABLE, title="Figure 23", claim="The winning rate in HPS v2 stays above 70 % at every guidance.")
CURVES = (Curve("zigzag", "Z-Sampling", tuple(f"Z-Sampling | gamma1 = {g}" for g in GAMMAS)),)
EXPERIMENT = drawn(
    FIGURE,
    "model=dreamshaper",
    "33 cells of 100 pictures, those of Table 13",
    Scales(),
    partial(swept, spec=FIGURE, field="gamma1", lines=CURVES, against="", column=FIGURE.columns[-1]),
)
