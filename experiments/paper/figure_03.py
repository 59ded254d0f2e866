"""Figure 3: latents that reach a prompt without guidance, and those that need it; the exact model on a plane."""

from typing import Any

from scipy import stats

from zz.experiments.paper import plane
from zz.lab.experiment import Experiment, Scales
from zz.lab.stats import ALPHA, proportion
from zz.lab.view import CONTRADICTED, HOLDS, UNDECIDED, Figure, Table, Verdict, View

CLAIM = "A latent with semantic information reaches its prompt with weak guidance or none; one without needs more."
GUIDANCE, LATENTS = (0.0, 1.0, 2.0), 1000


def _view(results: Any) -> View:
    found = plane.reached(GUIDANCE, LATENTS)
    lines = [(f"{scale:g}", proportion(int(inside.sum()), LATENTS), LATENTS) for scale, inside, _ in found]
    free, guided = found[0][1], found[1][1]
    counts = [[int((side & where).sum()) for side in (guided, ~guided)] for where in (free, ~free)]
    test = stats.fisher_exact(counts)
    sure = test.pvalue < ALPHA
    verdict = Verdict(
        "A latent that reaches the prompt without guidance reaches it more often with guidance, too",
        (HOLDS if test.statistic > 1 else CONTRADICTED) if sure else UNDECIDED,
        f"{counts[0][0]} of {sum(counts[0])} of these and {counts[1][0]} of {sum(counts[1])} of the others do at "
        f"guidance 1; p = {test.pvalue:.2g} (Fisher)",
    )
    table = Table("Figure 3: latents that reach the prompt", ("guidance", "proportion", "latents"), tuple(lines))
    caption = "Figure 3: starting points that end in the prompt's components (green) and elsewhere (red)"
    figure = Figure("starts", caption, lambda out: plane.starts(GUIDANCE, LATENTS, out))
    return View("Figure 3", CLAIM, (table,), (verdict,), (figure,))


EXPERIMENT = Experiment(claim=CLAIM, cells=(), cost="seconds", view=_view, scales=Scales())
