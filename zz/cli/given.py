"""From a folder of pictures that were not made here to a row with scores, and its comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal
from zz.cli.config import build, metrics_of, resolved, store_of
from zz.cli.finish import add_scores
from zz.cli.request import about_metric
from zz.cli.terminal.parity import check_parity, show_parity
from zz.cli.terminal.tables import show_cells, show_comparisons
from zz.data.base import Prompt, PromptList
from zz.data.gallery import Gallery, gallery
from zz.diffusion.validate import check_text
from zz.lab.given import Given, take
from zz.lab.results import Results
from zz.lab.store import manifest
from zz.lab.store.manifest import Manifest, Row
from zz.lab.store.store import Store
from zz.scorers.base import ImageScorer, Metric


def score_given(out: Console, config: DictConfig) -> int:
    """Score a folder's pictures, show their table, and how they compare with another run; return the exit code."""
    values = resolved(config)
    for field in ("images", "prompts", "name", "column", "delimiter", "seeds", "against"):
        check_text(field, values[field])
    if values.get("limit"):
        raise Refusal(f"limit={values['limit']} is of pictures that are made; images= takes all that the folder holds")
    name, store, runner = values["name"], store_of(config), build(values["runner"])
    if not name or "/" in name or name.startswith("."):
        raise Refusal(f"name={name}: pictures that were not made here need a name without slashes, as name=mine")
    store.check_format()
    metrics = tuple(metrics_of(values).values())
    if not metrics:
        raise Refusal("scorers=[]: name what the pictures are scored by, as scorers=[hps_v21,pickscore]")
    pair = check_parity(values["parity"], {metric.name: metric for metric in metrics})
    against = manifest.find(store, values["against"]) if values["against"] else None
    found = gallery(*(values[field] for field in ("images", "prompts", "name", "column", "delimiter", "seeds")))
    for remark in found.remarks:
        out.print(f"[yellow]{escape(remark)}[/]", soft_wrap=True)
    found = replace(found, prompts=_described(found.prompts, metrics))
    store.check_writable()
    given = take(found, name, store)
    asked = _manifest(given, found, metrics, against)
    lines = [{"text": p.text, "seed": p.seed, "meta": dict(p.meta), "files": p.files} for p in given.prompts.entries]
    store.put_prompts(given.prompts.record_digest, lines)
    manifest.put(store, asked)
    out.print(
        f"[bold]{escape(name)}[/]  {sum(p is not None for p in found.paths):,} pictures of "
        f"{len(given.prompts.entries):,} prompts in {escape(values['images'])}",
        soft_wrap=True,
    )
    problems, _ = add_scores(out, store, runner, [given], {given.id: metrics}, {given.id: name})
    code = _show(out, store, asked, bool(problems), values["allow_partial"])
    if pair:
        show_parity(out, Results(store, asked), pair)
    return code


def _described(prompts: PromptList, metrics: Sequence[Metric]) -> PromptList:
    """Meta that a scorer reads and the file has not is given by its world's grammar, where it has one."""
    readers = [one for one in metrics if isinstance(one, ImageScorer) and one.reads]

    def described(prompt: Prompt) -> Prompt:
        meta = dict(prompt.meta)
        for scorer in readers:
            if not any(field in meta for field in scorer.reads):
                meta |= scorer.describe(prompt.text)
        return replace(prompt, meta=meta)

    return replace(prompts, entries=tuple(map(described, prompts.entries)))


def _manifest(given: Given, found: Gallery, metrics: Sequence[Metric], against: Manifest | None) -> Manifest:
    scorers: Mapping[str, Any] = {metric.name: about_metric(metric) for metric in metrics}
    row = Row(
        id=given.id,
        cell=given.cell.key,
        prompts=given.prompts.record_digest,
        dataset=given.prompts.name,
        title=given.prompts.name,
        role="asked",
        scorers=scorers,
        wanted=len(given.prompts.entries),
        repeats=given.prompts.repeats,
        seeded=found.seeded,
    )
    others = [one for one in against.rows if one.role == "asked" and one.id != row.id] if against else []
    paired = tuple(replace(one, controls=((row.id, "against"),)) for one in others)
    return Manifest(given.prompts.name, (row, *paired))


def _show(out: Console, store: Store, asked: Manifest, failed: bool, partial: bool) -> int:
    results = Results(store, asked)
    row = asked.rows[0]
    if (there := results.there(row)) < (wanted := row.wanted * row.repeats):
        fate = "" if partial else "; its table is not printed unless allow_partial=true"
        counts = [len(prompt.files or ()) for prompt in results.prompts(row).entries]
        few = [p.text for p, n in zip(results.prompts(row).entries, counts, strict=True) if n < row.repeats]
        said = (
            f"{there} of {wanted} pictures: {len(few)} prompts have fewer than {row.repeats}, such as {few[0]!r}{fate}"
        )
        out.print(f"[yellow]{escape(said)}[/]", soft_wrap=True)
        if not partial:
            return 1
    show_cells(out, results)
    show_comparisons(out, results, True)
    if len(asked.rows) > 1 and not results.comparisons(True):
        how = "prompt and seed" if row.seeded else "prompt"
        out.print(f"[yellow]nothing is compared: no {how} is common with the rows of against=, or no score[/]")
    return 1 if failed else 0
