"""Table 2: GenEval by task on SDXL."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import GENEVAL, RESAMPLING, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 2",
    claim="Z-Sampling aligns pictures better, in counting, two objects and the colours of two objects above all.",
    rows=(STANDARD, *RESAMPLING, *ZIGZAG),
    columns=GENEVAL,
    sets={"": "geneval"},
    claims=(
        Claim("Z-Sampling", "Standard"),
        Claim("Z-Sampling", "Resampling", ("Counting", "Color attribution", "Overall")),
    ),
    unknown=("pictures a prompt: one, by the counts",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "9 cells of 553 pictures", Scales(prompts=553))
