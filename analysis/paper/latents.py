"""Latents that carry meaning: what a seed makes without a prompt, and how well it then serves prompts (Figs 2, 11)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import stats

from zz.analysis.paper.spec import Spec
from zz.analysis.paper.table import Sheet
from zz.analysis.plots.style import plt, styled
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.stats import Interval, jackknife
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, HOLDS, UNDECIDED, Figure, Table, Value, Verdict, View

SEEDS, TEXTS = 6, 5  # of the figure
FEWEST = 6  # latents that an interval can be made of


def view(results: Results, spec: Spec, stand_ins: StandIns, free: str, guided: str) -> View:
    """By text and seed the score of the guided picture; how it goes with that of the free one.

    free:   the row without guidance, whose pictures do not depend on the text
    guided: the row with it
    """
    sheet = Sheet(spec, results, stand_ins)
    ((prompts, _),) = spec.sets.items()
    rows = [sheet.row(label, prompts) for label in (free, guided)]
    if any(row is None or not sheet.there(row) for row in rows):
        lacking = next(row for row in rows if row is None or not sheet.there(row))
        return View(spec.title, spec.claim, (), (Verdict(spec.claim, sheet.fate(lacking)),))
    without, with_prompt = (row for row in rows if row is not None)
    tables, verdicts = [], []
    for column in sheet.spec.columns:
        scorer, head = sheet.mine(column), sheet.head(column)
        a, b = (_scores(results, row, scorer) for row in (without, with_prompt))
        texts = list(dict.fromkeys(text for text, _ in b))
        seeds = list(dict.fromkeys(seed for _, seed in b))
        lines: list[tuple[Value, ...]] = []
        for seed in seeds:
            lines.append((f"seed {seed}", *(round(b[text, seed], 4) if (text, seed) in b else None for text in texts)))
        tables.append(Table(f"{spec.title}: {head} by latent and prompt", ("", *texts), tuple(lines)))
        found = correlation(a, b)
        status = HOLDS if found.low > 0 else CONTRADICTED if found.high < 0 else UNDECIDED
        said = f"rank correlation over {len(seeds)} latents within {len(texts)} prompts {_shown(found)}"
        verdicts.append(
            Verdict(f"{head}: a latent that shows a concept by itself serves its prompts better", status, said)
        )
    caption = f"{spec.title}: without guidance, and with each prompt, by latent"
    figure = Figure("latents", caption, lambda out: draw(results, sheet, without, with_prompt, out))
    return View(spec.title, spec.claim, tuple(tables), tuple(verdicts), (figure,), spec.unknown)


def correlation(free: Mapping[tuple[str, int], float], guided: Mapping[tuple[str, int], float]) -> Interval:
    """Of ranks within each text, over (text, seed); the interval by leaving out latents, unbounded for a few."""
    both = sorted(free.keys() & guided.keys())
    seeds = {seed: n for n, seed in enumerate(dict.fromkeys(seed for _, seed in both))}
    texts = np.array([text for text, _ in both])
    x, y = (np.array([side[key] for key in both]) for side in (free, guided))

    def estimate(kept: np.ndarray) -> float:
        ranks = [np.empty(len(kept)) for _ in range(2)]
        for text in np.unique(texts[kept]):
            mine = texts[kept] == text
            for rank, values in zip(ranks, (x, y), strict=True):
                r = stats.rankdata(values[kept][mine])
                rank[mine] = r - r.mean()
        norm = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
        return float(ranks[0] @ ranks[1]) / norm if norm else 0.0

    if len(seeds) < FEWEST:
        return Interval(estimate(np.arange(len(both))), -1.0, 1.0)
    return jackknife(estimate, len(both), len(seeds), [seeds[seed] for _, seed in both])


def draw(results: Results, sheet: Sheet, free: Row, guided: Row, out: Path) -> None:
    """A line a latent: its picture without guidance, then with each prompt; scores below."""
    scorer = sheet.mine(sheet.spec.columns[0])
    scores = _scores(results, guided, scorer)
    pictures = {(p.prompt.text, int(p.seed)): p.name for p in results.pictures(guided)}
    texts = list(dict.fromkeys(text for text, _ in pictures))[:TEXTS]
    seeds = list(dict.fromkeys(seed for _, seed in pictures))[:SEEDS]
    with styled():
        size = (1.3 * (len(texts) + 1), 1.45 * len(seeds) + 0.4)
        figure, axes = plt.subplots(len(seeds), len(texts) + 1, figsize=size, squeeze=False)
        for line, seed in zip(axes, seeds, strict=True):
            for ax, text in zip(line, [None, *texts], strict=True):
                name = pictures[text or texts[0], seed]
                cell = results.store.cell((guided if text else free).cell)[0]
                image = results.store.image(cell, name)
                ax.imshow(np.asarray(image), interpolation="nearest" if image.width < 128 else "auto")
                ax.axis("off")
                if text and (text, seed) in scores:
                    ax.text(
                        0.5,
                        -0.04,
                        f"{scores[text, seed]:.4g}",
                        transform=ax.transAxes,
                        ha="center",
                        va="top",
                        fontsize=7,
                    )
            line[0].text(-0.08, 0.5, f"seed {seed}", transform=line[0].transAxes, rotation=90, ha="right", va="center")
        for ax, text in zip(axes[0], ["no prompt", *texts], strict=True):
            ax.set_title(text.removeprefix("a photo of "), fontsize=8)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)


def _scores(results: Results, row: Row, scorer: str) -> dict[tuple[str, int], float]:
    x = results.values(row, scorer)
    found = {(p.prompt.text, int(p.seed)): float(x[p.entry, p.repeat]) for p in results.pictures(row)}
    return {key: score for key, score in found.items() if np.isfinite(score)}


def _shown(x: Interval) -> str:
    return f"{x.value:.2f} [{x.low:.2f}, {x.high:.2f}]"


__all__ = ["correlation", "draw", "view"]
