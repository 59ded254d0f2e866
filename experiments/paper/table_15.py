"""Table 15: a solver that draws noise, and one that does not, on SDXL-Turbo."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, experiment
from zz.lab.experiment import Scales

NOISY, STORED = "solver=euler_ancestral", "solver=euler_ancestral_stored"
TABLE = Spec(
    title="Table 15",
    claim="Noise on the way makes the inversion inexact: zigzag loses with Euler ancestral and gains with Euler.",
    rows=(
        Line("Standard Sampling | Euler(a)", f"sampler=standard {NOISY}"),
        Line("Z-Sampling | Euler(a)", f"sampler=zigzag {NOISY} controls=true"),
        Line("Z-Sampling | Euler(a), its noise taken back out", f"sampler=zigzag {STORED} controls=true"),
        Line("Standard Sampling | Euler", "sampler=standard"),
        Line("Z-Sampling | Euler", "sampler=zigzag controls=true"),
        Line("Z-Sampling | Euler, ref_0_22", "sampler=zigzag inversion=ref_0_22"),
    ),
    columns=PREFERENCE,
    sets=PICKAPIC,
    claims=(
        Claim("Standard Sampling | Euler(a)", "Z-Sampling | Euler(a)"),
        Claim("Z-Sampling | Euler", "Standard Sampling | Euler"),
    ),
    unknown=(
        "prompts, gamma1, gamma2 and lambda; here Pick-a-Pic, 2 (the model was distilled without guidance), 0, T - 1",
        "how Euler(a) is inverted; here without its noise, and with it",
    ),
)
EXPERIMENT = experiment(TABLE, "model=sdxl_turbo gamma1=2", "16 cells of 100 pictures", Scales())
