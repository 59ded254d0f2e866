"""Table 6: 100 prompts of PartiPrompts on SDXL."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import PREFERENCE, RESAMPLING, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 6",
    claim="Z-Sampling is best on PartiPrompts, too.",
    rows=(STANDARD, *RESAMPLING, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": "parti"},
    claims=(Claim("Z-Sampling", "Standard"), Claim("Z-Sampling", "Resampling")),
    unknown=("which 100 of the 1,632 prompts; here drawn once from seed 0",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "9 cells of 100 pictures", Scales())
