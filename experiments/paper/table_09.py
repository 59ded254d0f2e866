"""Table 9: Smoothed Energy Guidance (Hong, 2024) on SDXL."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 9",
    claim="Z-Sampling improves on Smoothed Energy Guidance.",
    rows=(STANDARD, Line("SEG", "sampler=standard guidance=seg"), *ZIGZAG),
    columns=PREFERENCE,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "SEG"), Claim("Z-Sampling", "Standard")),
    unknown=("SEG's strength, blur and layers; here its authors' 3, infinite and mid",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "14 cells of 100 or 200 pictures", Scales())
