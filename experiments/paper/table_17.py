"""Table 17: with the gap, end to end and step by step, on SDXL."""

from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, experiment
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 17",
    claim="With the gap both ways gain, and step by step gains more.",
    rows=(
        Line("SDXL", "sampler=standard"),
        Line("End-to-End | gap = 5.5", "sampler=end_to_end"),
        Line("Step-by-Step | gap = 5.5", "sampler=zigzag controls=true"),
        Line("Step-by-Step | gap = 5.5, ref_0_22", "sampler=zigzag inversion=ref_0_22"),
    ),
    columns=(Column("PickScore", "pickscore"),),
    sets=PICKAPIC,
    small={"gap = 5.5": "gap = 4"},
    claims=(
        Claim("End-to-End | gap = 5.5", "SDXL"),
        Claim("Step-by-Step | gap = 5.5", "SDXL"),
        Claim("Step-by-Step | gap = 5.5", "End-to-End | gap = 5.5"),
    ),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "7 cells of 100 pictures", Scales())
