"""Figure 11: what latents make of several concepts, without guidance and with it, on SDXL."""

from functools import partial

from zz.analysis.paper.latents import view
from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.rows import PREFERENCE, drawn
from zz.lab.experiment import Scales
from zz.worlds.shapes import SHAPES

CONCEPTS = ("Jeep Cars", "flowers", "cats", "mountains", "castles", "spiders")  # the first two are the paper's
FREE, GUIDED = "without guidance", "with the prompt"


def crossed(texts: tuple[str, ...], seeds: int, option: str = "cross") -> str:
    """A prompt set of every text with every seed."""
    said = f"dataset.texts='[{','.join(texts)}]' dataset.seeds=[{','.join(map(str, range(seeds)))}]"
    return f"{option} {said}"


FIGURE = Spec(
    title="Figure 11",
    claim="A latent that makes a concept by itself scores higher in prompts of that concept.",
    rows=(Line(FREE, "sampler=standard gamma1=0"), Line(GUIDED, "sampler=standard")),
    columns=(PREFERENCE[2], PREFERENCE[0]),
    sets={"": crossed(CONCEPTS, 30)},
    unknown=("model, prompts and seeds, but for seed 20 and Jeep Cars; here SDXL, seeds 0 to 29",),
)
IN_MINIATURE = crossed(tuple(f"a photo of a {shape}" for shape in SHAPES), 30, "dataset=cross")
SCALES = Scales(dataset=f"{IN_MINIATURE} limit=all", smoke={"limit": "16"})
EXPERIMENT = drawn(
    FIGURE,
    "model=sdxl",
    "2 cells of 180 pictures",
    SCALES,
    partial(view, spec=FIGURE, free=FREE, guided=GUIDED),
)
