"""Table 7: FID, Inception Score and CLIP score of 30,000 pictures on DreamShaper."""

from zz.analysis.paper.spec import Claim, Column, Spec
from zz.experiments.paper.rows import STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 7",
    claim="Z-Sampling improves fidelity and alignment on MS-COCO 2014.",
    rows=(STANDARD, *ZIGZAG),
    columns=(
        Column("IS-30K", "inception_score"),
        Column("FID-30K", "fid_coco"),
        Column("Clip-Score", "clip_score_l14", times=0.01),
    ),
    sets={"": "coco_30k"},
    claims=(Claim("Z-Sampling", "Standard"),),
    unknown=(
        "which captions; here those of text2image-benchmark",
        "FID's reference and resizing, splits of IS, backbone of the CLIP score; here see docs/set_metrics.md",
        "gamma1 and lambda; here the model's own",
    ),
)
EXPERIMENT = experiment(TABLE, "model=dreamshaper", "6 cells of 30,000 pictures", Scales(prompts=553))
