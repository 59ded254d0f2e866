"""Table 4: Align Your Steps (Sabour et al., 2024) at 10 steps, with and without zigzag, on DreamShaper."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

AYS = "schedule=ays schedule.table=sdxl"
TABLE = Spec(
    title="Table 4",
    claim="Z-Sampling adds to a better schedule.",
    rows=(
        STANDARD,
        *ZIGZAG,
        Line("AYS", f"sampler=standard {AYS}"),
        Line("AYS + Z-Sampling", f"sampler=zigzag {AYS} controls=true"),
        Line("AYS + Z-Sampling, ref_0_22", f"sampler=zigzag inversion=ref_0_22 {AYS}"),
    ),
    columns=PREFERENCE,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "Standard"), Claim("AYS + Z-Sampling", "AYS"), Claim("AYS + Z-Sampling", "Z-Sampling")),
    unknown=("steps (ten, by the text on AYS), gamma1 and lambda; here 10 and the model's own",),
)
EXPERIMENT = experiment(TABLE, "model=dreamshaper steps=10", "22 cells of 100 or 200 pictures", Scales())
