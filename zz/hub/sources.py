"""The sources of a pretrained model's parts, and which files of them are here. Downloads configurations, no weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from zz.hub.files import weights, whole
from zz.hub.location import Location, is_id, lacking


class Described(Protocol):
    """What is read here of a `Pretrained`."""

    @property
    def pretrained(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    @property
    def variant(self) -> str | None: ...

    @property
    def classes(self) -> Mapping[str, str]: ...

    @property
    def kept(self) -> tuple[str, ...]: ...

    def location(self, part: str) -> tuple[Location, str]: ...


class Source(NamedTuple):
    """A folder or repository that some of a model's parts come from.

    field:    the model's field that names it: pretrained, unet, vae ...; `name` is that field's value
    location: None if it is not available, and `why`
    folders:  the folder of each part; empty if there is no location
    lacks:    what is missing from each part, in words; "" if nothing
    held:     bytes of weights that are here
    """

    field: str
    name: str
    location: Location | None
    why: str
    folders: Mapping[str, Path]
    lacks: Mapping[str, str]
    held: int

    @property
    def hub(self) -> bool:
        """Whether it is a repository of the hub."""
        return self.location.repo is not None if self.location else is_id(self.name)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not any(self.lacks.values())


def sources(model: Described) -> list[Source]:
    """The source of the model, and of each part that replaces one of its own."""
    return [_source(model, field) for field in ("pretrained", *model.classes) if getattr(model, field)]


def command(model: Described, source: Source) -> str:
    """The shell command that downloads the weights of a repository."""
    repo, _, revision = (source.location.name if source.location else source.name).partition("@")
    if repo == model.pretrained and source.field == "pretrained":
        revision = revision or model.revision or ""
    kinds = [f".{model.variant}*.safetensors"] if model.variant else []
    if not model.variant or source.field != "pretrained":  # a part without the variant is loaded in full precision
        kinds += ["model.safetensors", "-of-*.safetensors"]
    wanted = ["*.json", "*.txt", "*.model", "*.jinja"]
    for part in source.lacks:
        if not part.startswith(("scheduler", "tokenizer")):
            inside = source.location.inside if source.location and source.field == part else part
            wanted += [f"{inside}/*{kind}".lstrip("/") for kind in kinds]
    pinned = f" --revision {revision}" if revision else ""
    return f"hf download {repo}{pinned}" + "".join(f" --include '{pattern}'" for pattern in wanted)


def _source(model: Described, field: str) -> Source:
    given, name = [part for part in model.classes if getattr(model, part)], getattr(model, field)
    parts = [field] if field in given else [part for part in model.kept if part not in given]
    try:
        location, inside = model.location(field)
    except ValueError as error:
        return Source(field, name, None, str(error), {}, dict.fromkeys(parts, "nothing"), 0)
    folders = {part: location.root / (inside if part in given else part) for part in parts}
    lacks, held = {}, 0
    for part, folder in folders.items():
        files = [folder / file for file in weights((p.name for p in folder.glob("*") if p.is_file()), model.variant)]
        cut = [path.name for path in files if not whole(path)]
        lacks[part] = lacking(folder, model.variant) or (f"{cut[0]} cut short" if cut else "")
        held += sum(path.stat().st_size for path in files)
    return Source(field, name, location, "", folders, lacks, held)
