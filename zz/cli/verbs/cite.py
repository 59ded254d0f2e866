"""`zz cite`: BibTeX of everything that a store's rows used. Makes nothing."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.markup import escape

from zz.cli import extensions
from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.terminal.console import console, warn
from zz.diffusion.validate import check_text
from zz.lab.cite import FILE, cited, references, used
from zz.lab.grid import everything
from zz.lab.store.manifest import find
from zz.lab.store.store import StoreError

HERE = Path(__file__).resolve().parents[2]


def cite(configs: Sequence[DictConfig]) -> int:
    """Print or write the entries; return the exit code."""
    out = console()
    for config in configs:
        for name in ("name", "out"):
            check_text(name, config[name] if config[name] is None else str(config[name]))
        store = store_of(config)
        store.check_format()
        manifest = find(store, config.name) if config.name else everything(store, lambda text: warn(out, text))
        if not manifest.rows:
            raise StoreError(f"store: {store.root} holds no manifest; zz.run writes one")
        files = [HERE / FILE, *(folder / FILE for folder in extensions.folders(".") if (folder / FILE).is_file())]
        found, without = cited(references(files), used(store, manifest.rows))
        text = "\n\n".join(one.text for one in found) + "\n"
        if without:
            text += f"\n% no reference is known for: {', '.join(without)}\n"
        if config.out is None:
            print(text, end="")  # noqa: T201
            continue
        try:
            Path(config.out).parent.mkdir(parents=True, exist_ok=True)
            Path(config.out).write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refusal(f"out={config.out} cannot be written ({error.strerror}); choose another") from error
        out.print(f"{len(found)} references: {escape(str(config.out))}", soft_wrap=True)
    return 0
