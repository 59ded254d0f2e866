"""Figure 27: end to end and step by step, on the exact model on a plane."""

from typing import Any

import zz
from zz.experiments.paper import plane
from zz.lab.experiment import Experiment, Scales
from zz.lab.view import Figure, View

SAMPLERS = {
    "standard": zz.Standard(gamma1=2.0),
    "end to end": zz.EndToEnd(gamma1=2.0, gamma2=0.0),
    "Z-Sampling": zz.Zigzag(gamma1=2.0, gamma2=0.0),
}
CLAIM = "End to end the semantic terms of the steps may cancel; step by step each is injected where it arises."


def _view(results: Any) -> View:
    caption = "Figure 27: three latents with each sampler; zigs in blue, zags in red, the prompt's components filled"
    figure = Figure("paths", caption, lambda out: plane.paths(SAMPLERS, 12, (4, 8, 22), out))
    return View("Figure 27", CLAIM, figures=(figure,))


EXPERIMENT = Experiment(claim=CLAIM, cells=(), cost="seconds", view=_view, scales=Scales())
