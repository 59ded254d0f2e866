"""Figure 7: the guidance of the inversion, from 0 to beyond gamma1, on SDXL."""

from functools import partial

from zz.analysis.paper.figures import swept
from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, beside_controls, drawn
from zz.lab.experiment import Scales

GAMMAS = (0, 1.5, 3, 4.5, 5.5, 6.5, 8)  # the paper's are drawn only
IN_MINIATURE = (0, 1, 2, 3, 4, 5, 6)  # of a model whose gamma1 is 4
ROWS = tuple(f"gamma2 = {g}" for g in GAMMAS)
FIGURE = Spec(
    title="Figure 7",
    claim="The gain shrinks as gamma2 comes near gamma1, is gone where they are equal, and turns to a loss beyond.",
    rows=(
        Line("Standard", "sampler=standard"),
        *(Line(row, f"sampler=zigzag gamma2={g} controls=true") for row, g in zip(ROWS, GAMMAS, strict=True)),
        *(
            Line(f"{row}, ref_0_22", f"sampler=zigzag inversion=ref_0_22 gamma2={g}")
            for row, g in zip(ROWS, GAMMAS, strict=True)
        ),
    ),
    columns=PREFERENCE,
    sets=PICKAPIC,
    claims=(
        Claim("gamma2 = 0", "Standard"),
        Claim("gamma2 = 0", "gamma2 = 3"),
        Claim("gamma2 = 3", "gamma2 = 5.5"),
        Claim("gamma2 = 5.5", "gamma2 = 8"),
        Claim("Standard", "gamma2 = 8"),
    ),
    small={f"gamma2 = {g}": f"gamma2 = {m}" for g, m in zip(GAMMAS, IN_MINIATURE, strict=True)},
    unknown=("model, prompts and the values of gamma2; here SDXL on Pick-a-Pic",),
)
EXPERIMENT = drawn(
    FIGURE,
    "model=sdxl",
    "24 cells of 100 pictures",
    Scales(200, mini={f"gamma2={g}": str(m) for g, m in zip(GAMMAS, IN_MINIATURE, strict=True)}),
    partial(swept, spec=FIGURE, field="gamma2", lines=beside_controls(ROWS), against="Standard", column=PREFERENCE[0]),
)
