"""What came after zigzag over its scales, on prompts apart from those reported: which is best for which method."""

from zz.analysis.pages.later import tuned
from zz.experiments.beyond.later import asked, line
from zz.lab.experiment import Experiment, Layout

EXPERIMENT = Experiment(
    claim="each method is compared at its own best scale, chosen on prompts that the comparison does not use",
    common="dataset=shapes_tune limit=128 controls=[] scorers=[shapes_correct,shapes_alignment]",
    cells=tuple(
        f"label='{where} | {name} | {scale}' {line(where, method, scale)}"
        for where, methods in asked().items()
        for name, method in methods.items()
        for scale in method.scales
    ),
    cost="an hour and a half of one CPU core with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment")),
    view=lambda results: tuned(
        results, {where: {name: m.scales for name, m in methods.items()} for where, methods in asked().items()}
    ),
)
