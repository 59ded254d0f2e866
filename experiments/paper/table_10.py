"""Table 10: CFG++ (Chung et al., 2024) on SDXL with the autoencoder for 16 bits."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 10",
    claim="Z-Sampling improves on CFG++.",
    rows=(STANDARD, Line("CFG++", "sampler=standard guidance=cfgpp gamma1=0.5"), *ZIGZAG),
    columns=PREFERENCE,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "CFG++"), Claim("Z-Sampling", "Standard")),
    unknown=("whether the empty prompt is encoded or zero; here as for SDXL in diffusers",),
)
EXPERIMENT = experiment(TABLE, "model=sdxl_fp16_vae", "14 cells of 100 or 200 pictures", Scales())
