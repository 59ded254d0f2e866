"""The exact model in two dimensions: the paper's diagrams (Figures 3, 4 and 27) as computed paths."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

import zz
from zz.analysis.plots.style import BLACK, BLUE, GREEN, RED, plt, styled
from zz.diffusion.leg import Leg
from zz.diffusion.probes.step import Step
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.models.mixture import points

PROMPT, STD, NODES = "north", 0.15, LogUniform(4.0, 0.05)
COLOURS = {Leg.ZIG: BLUE, Leg.ZAG: RED}
WIDTHS = {Leg.ZIG: 1.0, Leg.ZAG: 2.5}


def paths(samplers: Mapping[str, Sampler], steps: int, seeds: Sequence[int], out: Path) -> None:
    """One panel a sampler: zigs in blue, zags in red, the prompt's components filled."""
    with styled():
        figure, axes = plt.subplots(1, len(samplers), figsize=(4 * len(samplers), 4.2), sharex=True, sharey=True)
        for ax, (name, sampler) in zip(axes, samplers.items(), strict=True):
            _components(ax)
            made: list[Step] = []
            end = _sampled(sampler, steps, seeds, made)
            for step in made:
                for a, b in zip(step.x.flatten(1).tolist(), step.y.flatten(1).tolist(), strict=True):
                    ax.plot([a[0], b[0]], [a[1], b[1]], color=COLOURS[step.leg], lw=WIDTHS[step.leg], marker=".", ms=3)
            start = made[0].x.flatten(1)
            ax.scatter(start[:, 0], start[:, 1], s=18, color=BLACK, zorder=3)
            ax.scatter(end[:, 0], end[:, 1], s=50, marker="*", color=BLACK, zorder=3)
            ax.set_title(f"{name}: {sampler.nfe(steps)} predictions")
            ax.set(aspect="equal", xlim=(-1.9, 1.6), ylim=(-1.5, 1.8))
            ax.axis("off")
        handles = [Line2D([], [], color=colour, label=leg.value) for leg, colour in COLOURS.items()]
        handles += [Line2D([], [], color=BLACK, marker=m, ls="", label=t) for m, t in (("o", "x_T"), ("*", "x_0"))]
        axes[0].legend(handles=handles, frameon=False, loc="lower left", fontsize=9)
        figure.tight_layout()
        figure.savefig(out, dpi=110)
        plt.close(figure)


def starts(scales: Sequence[float], n: int, out: Path) -> None:
    """One panel a guidance scale: green starting points end in one of the prompt's components, red ones do not."""
    with styled():
        figure, axes = plt.subplots(1, len(scales), figsize=(4 * len(scales), 4.4), sharex=True, sharey=True)
        for ax, (scale, inside, begin) in zip(axes, reached(scales, n), strict=True):
            _components(ax)
            for where, colour, marker in ((inside, GREEN, "o"), (~inside, RED, "x")):
                ax.scatter(begin[where, 0], begin[where, 1], s=14, color=colour, marker=marker, lw=1)
            ax.set_title(f"guidance {scale:g}: {100 * float(inside.double().mean()):.0f} % reach “{PROMPT}”")
            ax.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
            ax.axis("off")
        figure.tight_layout()
        figure.savefig(out, dpi=110)
        plt.close(figure)


def reached(scales: Sequence[float], n: int) -> list[tuple[float, torch.Tensor, torch.Tensor]]:
    """By scale: which of n starting points end within two deviations of one of the prompt's components, and the points.

    Points are shown in units of the noisiest level.  # (n,), (n, 2)
    """
    model = points(std=STD)
    means = torch.from_numpy(model.world.means(model.size)).flatten(1)[list(model.world.allowed(PROMPT))]
    found = []
    for scale in scales:
        made: list[Step] = []
        end = _sampled(zz.Standard(gamma1=scale), 30, range(n), made)
        near = torch.cdist(end.double(), means).amin(1) < 2 * STD
        begin = made[0].x.flatten(1)
        found.append((scale, near, begin / begin.std()))
    return found


def _sampled(sampler: Sampler, steps: int, seeds: Sequence[int], made: list[Step]) -> torch.Tensor:
    end = zz.sample(
        points(std=STD),
        [PROMPT] * len(seeds),
        sampler=sampler,
        steps=steps,
        seeds=list(seeds),
        output="latent",
        probe=made.append,
        schedule=NODES,
    )
    assert isinstance(end, torch.Tensor)
    return end.flatten(1)


def _components(ax: Axes) -> None:
    model = points(std=STD)
    wanted = model.world.allowed(PROMPT)
    for k, (x, y) in enumerate(torch.from_numpy(model.world.means(model.size)).flatten(1).tolist()):
        ax.add_patch(Circle((x, y), 2 * STD, fill=k in wanted, fc="#f4d58d", ec="#b0a070", lw=1, zorder=0))


__all__ = ["paths", "reached", "starts"]
