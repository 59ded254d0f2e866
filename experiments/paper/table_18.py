"""Table 18: Gaussian error added to the inversion, without a gap (Eq. 14)."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, PREFERENCE, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 18",
    claim="The more error the inversion has, the worse the pictures are.",
    rows=(
        Line("s = 0", "sampler=zigzag gamma2=${gamma1}"),
        Line("s = 0.5", "sampler=zigzag gamma2=${gamma1} solver=noisy_inversion solver.error=0.5"),
        Line("s = 1.0", "sampler=zigzag gamma2=${gamma1} solver=noisy_inversion solver.error=1.0"),
        Line("s = 0, ref_0_22", "sampler=zigzag gamma2=${gamma1} inversion=ref_0_22"),
        Line("standard", "sampler=standard"),
    ),
    columns=PREFERENCE,
    sets=PICKAPIC,
    claims=(Claim("s = 0", "s = 0.5"), Claim("s = 0.5", "s = 1.0"), Claim("standard", "s = 0")),
    unknown=("model, prompts and steps; guidance 5.5 in both by Eq. 12; here SDXL on Pick-a-Pic",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "5 cells of 100 pictures", Scales())
