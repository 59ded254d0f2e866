"""Standard sampling and zigzag over guidance, on prompts apart from those reported."""

from zz.lab.experiment import Experiment, Layout

EXPERIMENT = Experiment(
    claim="each method is compared at its own best guidance, chosen on prompts that the comparison does not use",
    common="model=shapes dataset=shapes_tune",
    cells=("sampler=standard,zigzag gamma1=1.5,2,3,4,5,7 steps=4,20",),
    cost="about an hour on one CPU core with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment")),
)
