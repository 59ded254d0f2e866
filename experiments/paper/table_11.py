"""Table 11: clips of AnimateDiff, with FreeInit (Wu et al., 2024) and with zigzag."""

from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.paper.rows import STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

FREE_INIT = "sampler=free_init sampler@sampler.inner=standard"
TABLE = Spec(
    title="Table 11",
    claim="Z-Sampling improves clips, and more than FreeInit does.",
    rows=(
        STANDARD,
        Line("FREEINIT", FREE_INIT),
        Line("FREEINIT, to the first node", f"{FREE_INIT} sampler.diffuse=node"),
        *ZIGZAG,
    ),
    columns=(Column("UMT-FVD", "umt_fvd"), Column("UMT-SCORE", "umt_score"), Column("GPT4o-MTSCORE", "gpt4o_mtscore")),
    sets={"": "chronomagic_150"},
    claims=(Claim("Z-Sampling", "Standard"), Claim("Z-Sampling", "FREEINIT")),
    unknown=(
        "AnimateDiff's base model, steps, frames and seeds; FreeInit's iterations and filter; here each one's own",
    ),
)
EXPERIMENT = experiment(TABLE, "model=animatediff", "8 cells of 150 clips", Scales())
