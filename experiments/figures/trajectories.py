"""The paper's Figure 4 on the exact model in two dimensions: how a latent travels under three samplers.

Claim:   a zig with guidance and a zag without it leave the latent nearer to the prompt, step by step; end to end
         the same is done once, over the whole path.
Command: python -m zz.experiments.figures.trajectories docs/trajectories.png
Cost:    seconds.
"""

import sys
from pathlib import Path

import matplotlib
import torch

import zz
from zz.diffusion.leg import Leg
from zz.diffusion.probes.step import Step
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.models.mixture import points

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

STEPS, SEEDS, PROMPT, STD = 12, (4, 8, 22), "north", 0.15
SAMPLERS = {
    "standard": zz.Standard(gamma1=2.0),
    "zigzag": zz.Zigzag(gamma1=2.0, gamma2=0.0),
    "end to end": zz.EndToEnd(gamma1=2.0, gamma2=0.0),
}
COLOURS = {Leg.ZIG: "#2471a3", Leg.ZAG: "#c0392b"}
WIDTHS = {Leg.ZIG: 1.0, Leg.ZAG: 2.5}


def main(out: Path) -> None:
    """Draw one panel a sampler: zigs in blue, zags in red, the prompt's components filled."""
    model = points(std=STD)
    means = torch.from_numpy(model.world.means(model.size)).flatten(1)
    wanted = model.world.allowed(PROMPT)
    figure, axes = plt.subplots(1, len(SAMPLERS), figsize=(4 * len(SAMPLERS), 4.2), sharex=True, sharey=True)
    for ax, (name, sampler) in zip(axes, SAMPLERS.items(), strict=True):
        for k, (x, y) in enumerate(means.tolist()):
            ax.add_patch(Circle((x, y), 2 * STD, fill=k in wanted, fc="#f4d58d", ec="#b0a070", lw=1, zorder=0))
        steps: list[Step] = []
        end = zz.sample(
            model,
            [PROMPT] * len(SEEDS),
            sampler=sampler,
            steps=STEPS,
            seeds=SEEDS,
            output="latent",
            probe=steps.append,
            schedule=LogUniform(4.0, 0.05),
        )
        assert isinstance(end, torch.Tensor)
        for step in steps:
            for a, b in zip(step.x.flatten(1).tolist(), step.y.flatten(1).tolist(), strict=True):
                ax.plot([a[0], b[0]], [a[1], b[1]], color=COLOURS[step.leg], lw=WIDTHS[step.leg], marker=".", ms=3)
        start, final = steps[0].x.flatten(1), end.flatten(1)
        ax.scatter(start[:, 0], start[:, 1], s=18, color="black", zorder=3)
        ax.scatter(final[:, 0], final[:, 1], s=50, marker="*", color="black", zorder=3)
        ax.set_title(f"{name}: {sampler.nfe(STEPS)} predictions")
        ax.set(aspect="equal", xlim=(-1.9, 1.6), ylim=(-1.5, 1.8))
        ax.axis("off")
    handles = [Line2D([], [], color=colour, label=leg.value) for leg, colour in COLOURS.items()]
    handles += [Line2D([], [], color="black", marker=m, ls="", label=t) for m, t in (("o", "x_T"), ("*", "x_0"))]
    axes[0].legend(handles=handles, frameon=False, loc="lower left", fontsize=9)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "trajectories.png"))
