"""Table 16: no gap, so that only the inversion's error is left: end to end, and step by step, on SDXL."""

from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.paper.rows import PICKAPIC, experiment
from zz.lab.experiment import Scales

NO_GAP = "gamma2=${gamma1} measurements=[reflections] runner.precision=32"
TABLE = Spec(
    title="Table 16",
    claim="The inversion's error alone harms, and end to end it is two orders of magnitude larger than step by step.",
    rows=(
        Line("SDXL", "sampler=standard runner.precision=32"),
        Line("End-to-End | gap = 0", f"sampler=end_to_end {NO_GAP}"),
        Line("Step-by-Step | gap = 0", f"sampler=zigzag {NO_GAP}"),
        Line("Step-by-Step | gap = 0, ref_0_22", f"sampler=zigzag inversion=ref_0_22 {NO_GAP}"),
    ),
    columns=(
        Column("PickScore", "pickscore"),
        Column("Approx Error tau_2", "reflections.tau2", quantity="measured"),
        Column("its sum of squares, weighted", "reflections.sum_of_squares", quantity="measured"),
        Column("its square of sum, weighted", "reflections.square_of_sum", quantity="measured"),
    ),
    sets=PICKAPIC,
    claims=(
        Claim("SDXL", "End-to-End | gap = 0", ("PickScore",)),
        Claim("SDXL", "Step-by-Step | gap = 0", ("PickScore",)),
        Claim("Step-by-Step | gap = 0", "End-to-End | gap = 0"),
    ),
    unknown=(
        "how the error is summed over latents, steps and prompts; here |eps(x~_t) - eps(x~_t-1)|^2 summed over the "
        "latent and the steps, the mean over pictures, and the two sums of Theorems 1 and 2",
    ),
)
EXPERIMENT = experiment(TABLE, "model=sdxl", "5 cells of 100 pictures", Scales())
