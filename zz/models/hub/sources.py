"""Where the parts of a pretrained model come from, and what of them is here. Brings configurations, never weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from zz.models.hub.files import weights, whole
from zz.models.hub.location import Location, is_id, lacking


class Described(Protocol):
    """A model whose parts come from a folder or repository; fields of `Pretrained`."""

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

    field:   of the model: pretrained, unet, vae ...; `name` is what that says
    place:   where it is; None, and `why`, if it is not to be had
    folders: where each part lies, as far as it is here
    lacks:   what each part lacks, in words; "" if nothing
    held:    bytes of weights that are here
    """

    field: str
    name: str
    place: Location | None
    why: str
    folders: Mapping[str, Path]
    lacks: Mapping[str, str]
    held: int

    @property
    def hub(self) -> bool:
        """Whether it is a repository."""
        return self.place.repo is not None if self.place else is_id(self.name)

    @property
    def whole(self) -> bool:
        """Whether nothing is lacking."""
        return not any(self.lacks.values())


def sources(model: Described) -> list[Source]:
    """Of the model itself, and of each part that stands in for its own."""
    return [_source(model, field) for field in ("pretrained", *model.classes) if getattr(model, field)]


def command(model: Described, source: Source) -> str:
    """What brings the weights of a repository, as a line for a shell."""
    repo, _, revision = (source.place.name if source.place else source.name).partition("@")
    if repo == model.pretrained and source.field == "pretrained":
        revision = revision or model.revision or ""
    kinds = [f".{model.variant}*.safetensors"] if model.variant else []
    if not model.variant or source.field != "pretrained":  # a part that has none of the variant is loaded plain
        kinds += ["model.safetensors", "-of-*.safetensors"]
    wanted = ["*.json", "*.txt", "*.model"]
    for part in source.lacks:
        if not part.startswith(("scheduler", "tokenizer")):
            inside = source.place.inside if source.place and source.field == part else part
            wanted += [f"{inside}/*{kind}".lstrip("/") for kind in kinds]
    pinned = f" --revision {revision}" if revision else ""
    return f"hf download {repo}{pinned}" + "".join(f" --include '{pattern}'" for pattern in wanted)


def _source(model: Described, field: str) -> Source:
    given, name = [part for part in model.classes if getattr(model, part)], getattr(model, field)
    parts = [field] if field in given else [part for part in model.kept if part not in given]
    try:
        place, inside = model.location(field)
    except ValueError as error:
        return Source(field, name, None, str(error), {}, dict.fromkeys(parts, "nothing"), 0)
    folders = {part: place.root / (inside if part in given else part) for part in parts}
    lacks, held = {}, 0
    for part, folder in folders.items():
        files = [folder / file for file in weights((p.name for p in folder.glob("*") if p.is_file()), model.variant)]
        cut = [path.name for path in files if not whole(path)]
        lacks[part] = lacking(folder, model.variant) or (f"{cut[0]} cut short" if cut else "")
        held += sum(path.stat().st_size for path in files)
    return Source(field, name, place, "", folders, lacks, held)
