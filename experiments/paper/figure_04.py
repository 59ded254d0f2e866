"""Figure 4: how a latent travels with weak guidance, strong guidance, and in zigzag; the exact model on a plane."""

from typing import Any

import zz
from zz.experiments.paper import plane
from zz.lab.experiment import Experiment, Scales
from zz.lab.view import Figure, View

SAMPLERS = {
    "weak guidance": zz.Standard(gamma1=1.0),
    "strong guidance": zz.Standard(gamma1=3.0),
    "Z-Sampling": zz.Zigzag(gamma1=2.0, gamma2=0.0),
}
CLAIM = "Zig by zag a latent comes nearer to the prompt, without the strong guidance that overshoots."


def _view(results: Any) -> View:
    caption = "Figure 4: three latents with each sampler; zigs in blue, zags in red, the prompt's components filled"
    figure = Figure("paths", caption, lambda out: plane.paths(SAMPLERS, 12, (4, 8, 22), out))
    return View("Figure 4", CLAIM, figures=(figure,))


EXPERIMENT = Experiment(claim=CLAIM, cells=(), cost="seconds", view=_view, scales=Scales())
