"""Figure 13: two pictures inverted, and each latent given to each prompt, on SDXL."""

from functools import partial

from zz.analysis.paper.inversion import view
from zz.experiments.paper.inversion import study
from zz.lab.experiment import Experiment, Scales

PROMPTS = ("cats", "spiders")
CLAIM = "A latent that a picture was inverted to serves the picture's own prompt better."
SCALES = Scales(30, smoke={"limit": "2"})
EXPERIMENT = Experiment(
    claim=CLAIM,
    cells=(),
    common="model=sdxl scorers=[pickscore,hps_v21]",
    cost="two inversions and six pictures of two files: pictures=[cat.png,spider.png]",
    given=PROMPTS,
    study=partial(study, prompts=PROMPTS),
    view=partial(view, title="Figure 13", claim=CLAIM, name="figure_13"),
    scales=SCALES,
)
