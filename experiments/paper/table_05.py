"""Table 5: Diffusion-DPO (Wallace et al., 2024), with and without zigzag, on SDXL."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

DPO = (
    Line("Diffusion-DPO", "model=sdxl_dpo sampler=standard"),
    Line("DPO + Z-Sampling", "model=sdxl_dpo sampler=zigzag controls=true"),
    Line("DPO + Z-Sampling, ref_0_22", "model=sdxl_dpo sampler=zigzag inversion=ref_0_22"),
)
TABLE = Spec(
    title="Table 5",
    claim="Z-Sampling adds to a model that is tuned on preferences.",
    rows=(*(Line(one.label, f"model=sdxl {one.words}") for one in (STANDARD, *ZIGZAG)), *DPO),
    columns=PREFERENCE,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "Standard"), Claim("DPO + Z-Sampling", "Diffusion-DPO")),
    unknown=("guidance of Diffusion-DPO (its authors use 5); here SDXL's 5.5",),
)
EXPERIMENT = experiment(TABLE, "", "22 cells of 100 or 200 pictures", Scales(prompts=200))
