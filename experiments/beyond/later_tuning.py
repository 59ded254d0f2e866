"""What came after zigzag over its scales, on prompts apart from those reported: which is best for which method."""

from zz.analysis.pages.later import tuned
from zz.experiments.beyond.later import BUDGETS, METHODS, entries
from zz.lab.experiment import Experiment, Layout

EXPERIMENT = Experiment(
    claim="each method is compared at its own best scale, chosen on prompts that the comparison does not use",
    common="model=shapes dataset=shapes_tune limit=128 controls=[] scorers=[shapes_correct,shapes_alignment]",
    cells=tuple(
        f"label='{budget} | {name} | {scale}' {method.words} {scale} steps={method.steps[which]}"
        for budget, name, which, method in entries()
        for scale in method.scales
    ),
    cost="about an hour on two CPU cores with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment")),
    view=lambda results: tuned(results, BUDGETS, {name: method.scales for name, method in METHODS.items()}),
)
