"""Effective guidance (Xie et al., ICLR 2026): each method against standard sampling at its own effective guidance."""

from functools import partial

from zz.analysis.paper.guidance_matters import view
from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.rows import BOTH, PREFERENCE, RESAMPLING, STANDARD, ZIGZAG, drawn
from zz.lab.experiment import Scales

TABLE = Spec(
    title="Guidance Matters",
    claim="Much of what a method wins over standard sampling, it wins by more guidance; zigzag wins more than that.",
    rows=(
        STANDARD,
        *(Line(line.label, line.words.replace(" controls=true", "")) for line in ZIGZAG),
        RESAMPLING[1],
        Line("CFG++", "sampler=standard guidance=cfgpp gamma1=0.4"),
        Line("PAG", "sampler=standard guidance=pag"),
        Line("SAG", "sampler=standard guidance=sag"),
        Line("SEG", "sampler=standard guidance=seg guidance.sigma=100"),
        Line("TDG", "sampler=standard guidance=tdg"),
        Line("TDG, components", "sampler=standard guidance=tdg guidance.nulls=components"),
    ),
    columns=PREFERENCE,
    sets=BOTH,
    unknown=(
        "whether TDG nulls tokens, as its text says, or components of all tokens, as its code for SDXL does; here both",
        "which scores its average winning rates are of; here these four, HPS v2 as version 2.1",
        "CFG++'s scale; here the 0.4 of its code, whose steps amount to 4.8 in the mean, where 8.91 is printed",
        "W2SD needs a LoRA that is not public; FreeU and APG are not here",
    ),
)
EXPERIMENT = drawn(
    TABLE,
    "model=sdxl measurements=[effective_guidance] controls=[standard,e_cfg]",
    "38 cells of 100 or 200 pictures, half of them measured, half of them controls",
    Scales(mini={"guidance.sigma": "null"}),
    partial(view, spec=TABLE),
)
