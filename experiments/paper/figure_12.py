"""Figure 12: two pictures and the latents that DDIM inversion without guidance gives: the study of Figure 13."""

from functools import partial

from zz.analysis.paper.inversion import view
from zz.experiments.paper.figure_13 import PROMPTS, SCALES
from zz.experiments.paper.inversion import study
from zz.lab.experiment import Experiment

CLAIM = "A picture inverted without guidance comes to a latent that carries what it shows."
EXPERIMENT = Experiment(
    claim=CLAIM,
    cells=(),
    common="model=sdxl scorers=[pickscore,hps_v21]",
    cost="that of Figure 13",
    given=PROMPTS,
    study=partial(study, prompts=PROMPTS),
    view=partial(view, title="Figure 12", claim=CLAIM, name="figure_12"),
    scales=SCALES,
)
