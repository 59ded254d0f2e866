"""Figure 9: how many steps are reflected, from the noisiest, on SDXL."""

from functools import partial

from zz.analysis.paper.figures import swept
from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, beside_controls, drawn
from zz.lab.experiment import Scales

LAMBDAS = (5, 10, 25, 40, 49)  # the paper's last is 50, which no inversion reaches
ROWS = tuple(f"lambda = {n}" for n in LAMBDAS)
WINS = Column("Winning rate, HPS v2", "hps_v21", quantity="wins")
FIGURE = Spec(
    title="Figure 9",
    claim="The winning rate rises from 50 % at lambda = 0 to 75 % at 25 and 80 % at 50: early steps matter most.",
    rows=(
        Line("lambda = 0", "sampler=standard"),
        *(Line(row, f"sampler=zigzag lambda={n} controls=true") for row, n in zip(ROWS, LAMBDAS, strict=True)),
        *(
            Line(f"{row}, ref_0_22", f"sampler=zigzag inversion=ref_0_22 lambda={n}")
            for row, n in zip(ROWS, LAMBDAS, strict=True)
        ),
    ),
    columns=(WINS, *PREFERENCE),
    sets=PICKAPIC,
    claims=(
        Claim("lambda = 25", "lambda = 0"),
        Claim("lambda = 49", "lambda = 0"),
        Claim("lambda = 25", "lambda = 5"),
        Claim("lambda = 49", "lambda = 25"),
    ),
    against=dict.fromkeys((*ROWS, *(f"{row}, ref_0_22" for row in ROWS)), "lambda = 0"),
)
EXPERIMENT = drawn(
    FIGURE,
    "model=sdxl",
    "24 cells of 100 pictures",
    Scales(200, smoke={f"lambda={n}": str(m) for n, m in zip(LAMBDAS, (1, 2, 3, 3, 3), strict=True)}),
    partial(swept, spec=FIGURE, field="lambda_", lines=beside_controls(ROWS), against="lambda = 0", column=WINS),
)
