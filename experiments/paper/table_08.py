"""Table 8: GenEval after Diffusion-DPO, with and without zigzag, on SDXL."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import GENEVAL, experiment
from zz.experiments.paper.table_05 import DPO
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 8",
    claim="Z-Sampling adds to a model that is tuned on preferences, on GenEval, too.",
    rows=(Line("Standard", "model=sdxl sampler=standard"), *DPO),
    columns=GENEVAL,
    sets={"": "geneval"},
    claims=(Claim("DPO + Z-Sampling", "Diffusion-DPO"), Claim("Diffusion-DPO", "Standard")),
    unknown=("guidance of Diffusion-DPO (its authors use 5); here SDXL's 5.5",),
)
EXPERIMENT = experiment(TABLE, "", "7 cells of 553 pictures", Scales(prompts=553))
