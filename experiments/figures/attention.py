"""Where a picture looks at its words while it is made, under standard sampling and in zigzag's two legs.

Claim:   none of the paper's; its Figure 1 says that the guidance gap writes the prompt into the latent, and this shows
         where each leg looks for a word. Attention is no proof of what a picture owes to a word.
Command: python -m zz.experiments.figures.attention --out docs/attention.png
Cost:    one picture by standard sampling and one by zigzag, attention read once more: seconds for a model of the
         shapes world on a CPU, a minute for Stable Diffusion on a GPU.

The zag is made with gamma2 = 1, the prompt alone: at gamma2 = 0 it does not read the prompt. Heat is the share of each
place's attention that the word has, on one scale a word.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

import zz
from zz.diffusion.samplers.base import Sampler

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROWS = (  # label, sampler, leg, round; a zigzag's last zig is the step itself
    ("standard", "standard", "zig", -1),
    ("zigzag: zig", "zigzag", "zig", 0),
    ("zigzag: zag", "zigzag", "zag", 0),
)


def record(
    model: zz.StableDiffusion, samplers: dict[str, Sampler], asked: argparse.Namespace
) -> dict[str, tuple[Image.Image, zz.AttentionMaps]]:
    """By each sampler, from the same noise, a picture and where it looked."""
    made = {}
    with model.open(asked.device) as pipeline:
        for name, sampler in samplers.items():
            maps = zz.AttentionMaps(pipeline, asked.words, layers=asked.layers, steps=asked.show)
            size = asked.size or model.size
            (picture,) = zz.sample(
                maps, asked.prompt, sampler=sampler, steps=asked.steps, size=size, seeds=[asked.seed], probe=maps.probe
            )
            made[name] = (picture, maps)
    return made


def draw(made: dict[str, tuple[Image.Image, zz.AttentionMaps]], asked: argparse.Namespace) -> None:
    """A row a leg: its picture, then for each word some early steps over that picture, pale."""
    wide = len(asked.show)
    ratios = [1.0] + ([0.12] + [1.0] * wide) * len(asked.words)
    figure, axes = plt.subplots(
        len(ROWS) + 1,  # the last holds the scales
        len(ratios),
        figsize=(1.15 * sum(ratios), 1.17 * len(ROWS) + 1.0),
        width_ratios=ratios,
        height_ratios=[1.0] * len(ROWS) + [0.06],
        squeeze=False,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    for ax in axes.flat:
        ax.axis("off")
    for row, (label, name, *_) in zip(axes[:-1], ROWS, strict=True):
        show(row[0], np.asarray(made[name][0]))
        row[0].text(-0.06, 0.5, label, transform=row[0].transAxes, rotation=90, va="center", ha="right")
    axes[0, 0].set_title("picture", fontsize=9)
    for w, word in enumerate(asked.words):
        columns = range(2 + w * (wide + 1), 2 + w * (wide + 1) + wide)
        heat = {
            (r, c): made[name][1].mean(word, leg, [i], round)
            for r, (_, name, leg, round) in enumerate(ROWS)
            for c, i in zip(columns, asked.show, strict=True)
        }
        most = max(float(m.max()) for m in heat.values())
        for (r, c), m in heat.items():
            grey = np.asarray(made[ROWS[r][1]][0].convert("L"))
            show(axes[r, c], grey, cmap="gray", vmin=-500, vmax=255)
            side = grey.shape[::-1]
            large = np.asarray(Image.fromarray(m.numpy()).resize(side, Image.Resampling.BICUBIC)).clip(0, most)
            drawn = axes[r, c].imshow(large, cmap="YlOrRd", vmin=0, vmax=most, alpha=0.9 * large / most)
        for c, i in zip(columns, asked.show, strict=True):
            axes[0, c].set_title(f"{word}, step {i}" if c == columns[0] else f"step {i}", fontsize=9)
        scale = figure.add_subplot(axes[0, 0].get_gridspec()[-1, columns[0] : columns[-1] + 1])
        bar = figure.colorbar(drawn, cax=scale, orientation="horizontal")
        bar.set_label(f"share of attention to “{word}”", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"“{asked.prompt}”", fontsize=11)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(asked.out, dpi=130)


def show(ax: Axes, picture: np.ndarray, **colours: object) -> None:
    ax.imshow(picture, interpolation="nearest", **colours)  # type: ignore[arg-type]


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--model", help="a Stable Diffusion folder or hub id; the embedded model by default")
    ask.add_argument("--out", type=Path, default=Path("attention.png"))
    ask.add_argument("--prompt", default="a photo of a red star and a blue circle")
    ask.add_argument("--words", nargs="+", default=["star", "circle"])
    ask.add_argument("--size", type=int, default=None, help="pixels a side")
    ask.add_argument("--steps", type=int, default=50)
    ask.add_argument("--show", type=int, nargs="+", default=[0, 2, 5, 10, 20], help="steps that are drawn")
    ask.add_argument("--layers", default=None, help="part of the layers' names; all by default")
    ask.add_argument("--gamma1", type=float, default=4.0)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--device", default="cpu")
    asked = ask.parse_args()
    samplers: dict[str, Sampler] = {
        "standard": zz.Standard(asked.gamma1),
        "zigzag": zz.Zigzag(asked.gamma1, 1.0),
    }
    draw(record(zz.StableDiffusion(asked.model) if asked.model else zz.shapes(), samplers, asked), asked)


if __name__ == "__main__":
    main()
