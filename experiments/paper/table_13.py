"""Table 13: guidance from 1.5 to 11.5 on DreamShaper."""

from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, experiment
from zz.lab.experiment import Scales

GAMMAS = (1.5, 3.5, 5.5, 7.5, 9.5, 11.5)
TABLE = Spec(
    title="Table 13",
    claim="Z-Sampling improves at every guidance, and where standard sampling suffers from too much of it.",
    rows=tuple(
        Line(f"{name} | gamma1 = {gamma}", f"{words} gamma1={gamma}")
        for gamma in GAMMAS
        for name, words in (
            ("Standard Sampling", "sampler=standard"),
            ("Z-Sampling", "sampler=zigzag controls=true"),
            ("Z-Sampling, ref_0_22", "sampler=zigzag inversion=ref_0_22"),
        )
    ),
    columns=(*PREFERENCE, Column("Winning Rate", "hps_v21", quantity="wins")),
    sets=PICKAPIC,
    claims=tuple(Claim(f"Z-Sampling | gamma1 = {g}", f"Standard Sampling | gamma1 = {g}") for g in GAMMAS),
    against={f"Z-Sampling | gamma1 = {g}": f"Standard Sampling | gamma1 = {g}" for g in GAMMAS},
)
EXPERIMENT = experiment(TABLE, "model=dreamshaper", "33 cells of 100 pictures", Scales())
