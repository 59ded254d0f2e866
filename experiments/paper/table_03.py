"""Table 3: Semantic-aware CFG (Shen et al., 2024) on SD-2.1 at 768 pixels."""

from zz.analysis.paper.spec import Claim, Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, STANDARD, ZIGZAG, experiment
from zz.lab.experiment import Scales

SCFG = (  # its blur as the authors' code computes it, and as its parameter is named
    Line("Semantic-aware CFG", "sampler=standard guidance=scfg guidance.reduction=4 guidance.blur=computed"),
    Line("Semantic-aware CFG, blur as named", "sampler=standard guidance=scfg guidance.reduction=4"),
)
IN_MINIATURE = {"guidance.reduction": "1"}  # the network's maps are as small as that
TABLE = Spec(
    title="Table 3",
    claim="Z-Sampling improves on Semantic-aware CFG in all scores.",
    rows=(STANDARD, *SCFG, *ZIGZAG),
    columns=PREFERENCE,
    sets=BOTH,
    claims=(Claim("Z-Sampling", "Semantic-aware CFG"), Claim("Z-Sampling", "Standard")),
    unknown=('guidance, steps and gamma2: "the default settings of Semantic-CFG"; here the model\'s own',),
)
EXPERIMENT = experiment(TABLE, "model=sd21", "16 cells of 100 or 200 pictures", Scales(mini=IN_MINIATURE))
