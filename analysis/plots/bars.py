"""Winning rates as bars: ours from the left, theirs from the right, the interval across the border."""

from collections.abc import Mapping
from pathlib import Path

from zz.analysis.plots.style import BLUE, ORANGE, plt, styled
from zz.lab.stats import Interval


def draw(groups: Mapping[str, Mapping[str, Interval]], out: Path) -> None:
    """Write the picture: a panel a prompt set, a bar a metric; values in percent."""
    with styled():
        wide = 4.6 * len(groups)
        tall = 0.9 + 0.42 * max(map(len, groups.values()))
        figure, axes = plt.subplots(1, len(groups), figsize=(wide, tall), squeeze=False)
        for ax, (name, rates) in zip(axes[0], groups.items(), strict=True):
            for y, rate in enumerate(rates.values()):
                ax.barh(y, rate.value, color=BLUE, height=0.62, label="Z-Sampling" if y == 0 else None)
                ax.barh(
                    y,
                    100 - rate.value,
                    left=rate.value,
                    color=ORANGE,
                    height=0.62,
                    label="standard" if y == 0 else None,
                )
                ax.plot([rate.low, rate.high], [y, y], color="black", lw=1.4)
                ax.plot([rate.low] * 2, [y - 0.12, y + 0.12], color="black", lw=1)
                ax.plot([rate.high] * 2, [y - 0.12, y + 0.12], color="black", lw=1)
                ax.text(2, y, f"{rate.value:.0f} %", color="white", va="center", fontsize=8)
            ax.axvline(50, color="0.2", lw=0.9, ls=":")
            ax.set_yticks(range(len(rates)), list(rates))
            ax.set_ylim(len(rates) - 0.5, -0.5)
            ax.set_xlim(0, 100)
            ax.set_xlabel("%, with 95 % intervals")
            ax.grid(False)
            if name:
                ax.set_title(name)
        axes[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=2, fontsize=8)
        figure.tight_layout()
        figure.savefig(out, bbox_inches="tight")
        plt.close(figure)
