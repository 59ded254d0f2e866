"""What pictures that were inverted make of their own and of each other's prompts (Figures 12 and 13)."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from zz.analysis.plots.style import plt, styled
from zz.lab.results import Results
from zz.lab.stats import ALPHA, Interval, mean, student
from zz.lab.view import CONTRADICTED, HOLDS, NOT_RUN, UNDECIDED, Figure, Table, Verdict, View

OWN, OTHER, RANDOM = "own picture's latent", "the other picture's latent", "a random latent"


def view(results: Results, title: str, claim: str, name: str) -> View:
    """Scores by latent, paired: own less other, and own less random."""
    scale = results.manifest.scale
    kept = results.store.kept(f"study-{name if scale in (None, 'paper') else f'{name}-{scale}'}")
    if not isinstance(kept, dict):
        return View(title, claim, (), (Verdict(claim, NOT_RUN),))
    lines, verdicts = [], []
    scores, texts = kept["scores"], kept["settings"]["texts"]
    for metric in scores[OWN]:
        sides = {side: np.array(scores[side][metric]) for side in (OWN, OTHER, RANDOM)}
        lines.append((metric, len(texts), *(mean(sides[side]) for side in (OWN, OTHER, RANDOM))))
        for other in (OTHER, RANDOM):
            d = (sides[OWN] - sides[other]).reshape(-1, 2).mean(1)  # a pair is drawn together
            found, p = mean(d), student(d) if np.ptp(d) > 0 else 1.0
            status = UNDECIDED if p >= ALPHA else HOLDS if found.value > 0 else CONTRADICTED
            said = f"{metric}: a prompt fares better with its {OWN} than with {other}"
            verdicts.append(Verdict(said, status, _said(found, len(d), p)))
    table = Table(title, ("", "n", OWN, OTHER, RANDOM), tuple(lines))
    sheet = results.store.root / "sheets" / str(kept["sheet"])
    caption = f"{title}: given, then made from its own, the other's and a random latent"
    figures = (Figure("pictures", caption, partial(_draw, sheet)),) if sheet.is_file() else ()
    return View(title, claim, (table,), tuple(verdicts), figures)


def _draw(sheet: Path, out: Path) -> None:
    with Image.open(sheet) as image, styled():
        rows, wide = image.height, image.width
        figure, ax = plt.subplots(figsize=(5.2, 5.2 * rows / wide + 0.5))
        ax.imshow(np.asarray(image), interpolation="nearest")
        ax.set_xticks([wide * (k + 0.5) / 4 for k in range(4)], ["given", "own latent", "the other's", "random"])
        ax.xaxis.tick_top()
        ax.set_yticks([])
        ax.grid(False)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)


def _said(x: Interval, pairs: int, p: float) -> str:
    return f"{x.value:+.3g} [{x.low:+.3g}, {x.high:+.3g}] over {pairs} pairs of pictures, p = {p:.2g}"


__all__ = ["OTHER", "OWN", "RANDOM", "view"]
