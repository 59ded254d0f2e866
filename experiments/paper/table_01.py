"""Table 1: four models, two prompt sets, four scores; standard sampling, resampling and zigzag."""

from zz.analysis.paper.spec import Claim, Spec
from zz.experiments.paper.rows import BOTH, MODELS, PREFERENCE, RESAMPLING, STANDARD, ZIGZAG, experiment, headed
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Table 1",
    claim="Z-Sampling is best in nearly all scores, on U-Nets, a transformer and a distilled model.",
    rows=headed(MODELS, (STANDARD, *RESAMPLING, *ZIGZAG)),
    columns=PREFERENCE,
    sets=BOTH,
    claims=tuple(
        Claim(f"{model} | Z-Sampling", f"{model} | {worse}") for model in MODELS for worse in ("Standard", "Resampling")
    ),
    unknown=(
        "SD-2.1's resolution and its version (Table 3 has other numbers at 768x768); here 2.1 at 768",
        "Hunyuan-DiT's version and negative prompt; here 1.2",
        "the solver of DreamShaper at 4 steps; here DDIM",
        "how often resampling repeats a step; here once, and twice",
    ),
)
EXPERIMENT = experiment(TABLE, "", "52 cells of 100 or 200 pictures, controls among them", Scales(prompts=200))
