"""`zz export`: the numbers of a store as an archive, and beside it the status of every claim. Makes nothing."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.markup import escape

import zz
from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.page import analysis, experiment_of
from zz.cli.terminal.console import console, warn
from zz.diffusion.validate import as_tuple, check_text
from zz.lab import packed
from zz.lab.record import revision
from zz.lab.results import Results
from zz.lab.scales import SCALES
from zz.lab.store.manifest import Manifest, find, names
from zz.lab.store.store import Store, StoreError
from zz.lab.view import Verdict


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
        found = list(_chosen(store, [str(name) for name in as_tuple(config.name or ())], config.scale))
        if not found:
            said = f" at scale={config.scale}" if config.scale else ""
            raise StoreError(f"store: {store.root} holds no manifest{said}; zz.run writes one")
        chosen = [one.id for one in found if config.allow_partial or whole(store, one)]
        if lacking := [one.name for one in found if one.id not in chosen]:
            warn(
                out,
                f"left out, for pictures or scores are missing: {', '.join(lacking)}; allow_partial=true takes them",
            )
        if not chosen:
            return 1
        at = revision()  # before the archive is another
        size = packed.pack(store, chosen, path)
        page = path.with_name(path.name.removesuffix(packed.SUFFIX) + ".md")
        held = packed.opened(path)
        verdicts, picture = _verdicts(held), None
        if any(verdicts.values()):
            picture = page.with_suffix(".png")
            analysis("plots.claims", "its picture").draw(verdicts, picture)
        page.write_text(_page(held, path, verdicts, picture.name if picture else None, at), encoding="utf-8")
        out.print(
            f"{len(chosen)} manifests, {size / 1e6:.2f} MB: {escape(str(path))}, {escape(str(page))}", soft_wrap=True
        )
    return 0


def whole(store: Store, manifest: Manifest) -> bool:
    """Whether every row has all of its pictures and scores."""
    results = Results(store, manifest)
    return all(results.complete(row) for row in manifest.rows)


def _chosen(store: Store, asked: Sequence[str], scale: str | None) -> Iterator[Manifest]:
    """The last manifest of each name that is asked for."""
    seen = set[str]()
    for name in asked or names(store):
        found = find(store, name)
        mine = found.scale or ("paper" if found.experiment else None)
        if found.name not in seen and (scale is None or mine == scale):
            seen.add(found.name)
            yield found


def _verdicts(store: Store) -> dict[str, tuple[Verdict, ...]]:
    """By manifest, what is said of the claims of its experiment."""
    found = {}
    for name in sorted(names(store)):
        manifest = find(store, name)
        experiment = experiment_of(manifest)
        if experiment and experiment.view:
            found[manifest.name] = experiment.view(Results(store, manifest)).verdicts
    return found


def _page(
    store: Store,
    archive: Path,
    verdicts: Mapping[str, Sequence[Verdict]],
    picture: str | None,
    at: Mapping[str, Any] | None,
) -> str:
    """Every claim of every experiment, what it cost, when and by which commit."""
    commit = f"commit {at['revision'][:12]}{' with changes' if at['dirty'] else ''}" if at else f"zz {zz.__version__}"
    told = [store.told(cell.cell) for cell in store.cells()]
    pictures = [len(one.get("pictures", ())) for one in told]
    timed = [(n, one["seconds"]) for n, one in zip(pictures, told, strict=True) if one.get("seconds")]
    spent = sum(n * seconds for n, seconds in timed) / 3600
    lines = [
        f"| {name} | {_bar(one.claim)} | {one.status} | {_bar(one.evidence)} |"
        for name, some in verdicts.items()
        for one in some
    ]
    parts = [
        "# What was claimed and what was found",
        f"{time.strftime('%Y-%m-%d')}, {commit}. {sum(pictures):,} pictures of {len(told)} cells; {spent:.1f} worker "
        f"hours for the {sum(n for n, _ in timed):,} of them whose cells shared no predictions with others. Numbers "
        f"by prompt are in `{archive.name}`, from which every table is made again:",
        f"```sh\npython -m zz.table store={archive} name=NAME out=page.md\n```",
        *([f"![Claims by experiment and status]({picture})"] if picture else []),
        "| experiment | claim | status | evidence |\n|---|---|---|---|\n" + "\n".join(lines),
    ]
    return "\n\n".join(parts) + "\n"


def _bar(text: str) -> str:
    return text.replace("|", "\\|")
