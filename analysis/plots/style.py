"""One style: the colours of Okabe and Ito, told apart by colour-blind eyes; markers say the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
METHODS = {  # colour and marker of what is compared
    "standard": (BLACK, "."),
    "zigzag": (RED, "o"),
    "guidance_matched": (BLUE, "s"),
    "compute_matched": ("#7d8b8c", "v"),
    "resampling": (GREEN, "^"),
}


@contextmanager
def styled() -> Iterator[None]:
    """Fonts, lines and spines as every plot here has them."""
    settings: dict[Any, Any] = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.linewidth": 0.3,
        "legend.frameon": False,
        "savefig.dpi": 120,
    }
    with plt.rc_context(settings):
        yield


def interval(ax: Axes, x: float, value: tuple[float, float, float], colour: str, marker: str, **kwargs: object) -> None:
    """A point with its 95 % interval."""
    middle, low, high = value
    ax.plot([x, x], [low, high], color=colour, lw=1, alpha=0.5)
    ax.plot(x, middle, marker, color=colour, ms=5, **kwargs)  # type: ignore[arg-type]


__all__ = ["BLACK", "BLUE", "GREEN", "METHODS", "ORANGE", "PINK", "RED", "SKY", "YELLOW", "interval", "plt", "styled"]
