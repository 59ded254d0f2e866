"""`zz export`: the numbers of a store as an archive, and beside it the status of every claim. Makes nothing."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.markup import escape

import zz
from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.page import experiment_of
from zz.cli.terminal.console import console
from zz.diffusion.validate import as_tuple, check_text
from zz.lab import packed
from zz.lab.record import revision
from zz.lab.results import Results
from zz.lab.scales import SCALES
from zz.lab.store.manifest import find, names
from zz.lab.store.store import Store, StoreError


def export(configs: Sequence[DictConfig]) -> int:
    """Write the archive and its page; return the exit code."""
    out = console()
    for config in configs:
        check_text("out", config.out)
        path = Path(config.out)
        if not path.name.endswith(packed.SUFFIX):
            raise Refusal(f"out={config.out} must end in {packed.SUFFIX}")
        if config.scale is not None and config.scale not in SCALES:
            raise Refusal(f"scale={config.scale} is not known; known are {', '.join(SCALES)}")
        store = store_of(config)
        store.check_format()
        chosen = list(_chosen(store, [str(name) for name in as_tuple(config.name or ())], config.scale))
        if not chosen:
            said = f" at scale={config.scale}" if config.scale else ""
            raise StoreError(f"store: {store.root} holds no manifest{said}; zz.run writes one")
        size = packed.pack(store, chosen, path)
        page = path.with_name(path.name.removesuffix(packed.SUFFIX) + ".md")
        held = packed.opened(path)
        page.write_text(_page(held, path), encoding="utf-8")
        out.print(
            f"{len(chosen)} manifests, {size / 1e6:.2f} MB: {escape(str(path))}, {escape(str(page))}", soft_wrap=True
        )
    return 0


def _chosen(store: Store, asked: Sequence[str], scale: str | None) -> Iterator[str]:
    """The last manifest of each name that is asked for."""
    seen = set[str]()
    for name in asked or names(store):
        found = find(store, name)
        mine = found.scale or ("paper" if found.experiment else None)
        if found.name not in seen and (scale is None or mine == scale):
            seen.add(found.name)
            yield found.id


def _page(store: Store, archive: Path) -> str:
    """Every claim of every experiment, what it cost, when and by which commit."""
    at = revision()
    commit = f"commit {at['revision'][:12]}{' with changes' if at['dirty'] else ''}" if at else f"zz {zz.__version__}"
    lines, made, seconds = [], 0, 0.0
    for name in sorted(names(store)):
        manifest = find(store, name)
        results = Results(store, manifest)
        experiment = experiment_of(manifest)
        for one in experiment.view(results).verdicts if experiment and experiment.view else ():
            lines.append(f"| {manifest.name} | {_bar(one.claim)} | {one.status} | {_bar(one.evidence)} |")
    for cell in store.cells():
        told = store.told(cell.cell)
        made += len(told.get("pictures", ()))
        seconds += len(told.get("pictures", ())) * (told.get("seconds") or 0.0)
    head = (
        f"# What was claimed and what was found\n\n{time.strftime('%Y-%m-%d')}, {commit}. {made:,} pictures of "
        f"{len(list(store.cells()))} cells; {seconds / 3600:.1f} device hours are known of, of cells that shared no "
        f"predictions with others. The numbers by prompt are in `{archive.name}`:\n\n"
        f"```sh\npython -m zz.table store={archive} name=NAME out=page.md\n```\n\n"
        "| experiment | claim | status | evidence |\n|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


def _bar(text: str) -> str:
    return text.replace("|", "\\|")
