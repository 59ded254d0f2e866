"""Figure 12: two pictures and the latents that DDIM inversion without guidance gives: studied as in Figure 13."""

from dataclasses import replace
from functools import partial

from zz.analysis.paper.inversion import view
from zz.experiments.paper.figure_13 import EXPERIMENT as STUDIED

CLAIM = "A picture inverted without guidance comes to a latent that carries what it shows."
EXPERIMENT = replace(
    STUDIED,
    claim=CLAIM,
    cost="as much as Figure 13",
    view=partial(view, title="Figure 12", claim=CLAIM, name="figure_12"),
)
