"""Published checkpoints on models of transformers: read as data only, and every key accounted for."""

import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zz.hub.files import digest
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet

Origin = tuple[str, Callable[[Tensor], Tensor]]  # a key of the checkpoint, and what is taken of its tensor
SHOWN = 3  # keys named in a message


def read(file: Published, field: str, inside: str | None = None) -> dict[str, Tensor]:
    """The tensors of a .pt or .pth file. Raises ValueError with the field and the file.

    inside: the entry of the file that holds them; None: the file itself
    """
    path = file.fetch(field)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = str(error).strip().split("\n")[0]
        raise ValueError(refused(field, path, f"cannot be read as a checkpoint ({said})")) from error
    if inside is not None:
        found = found.get(inside) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not all(isinstance(x, Tensor) for x in found.values()):
        what = f"no {inside!r} of tensors by name" if inside else "something else than tensors by name"
        raise ValueError(refused(field, path, f"holds {what}"))
    return dict(found)


def refused(field: str, path: Path, why: str) -> str:
    """What is wrong with a file, and what to do."""
    return f"{field}: {path} {why}; it is cut, or another file: remove it, and it is downloaded anew"


def same(x: Tensor) -> Tensor:
    """The tensor itself."""
    return x


def mapped(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], origin: Callable[[str], Origin], spare: str = ""
) -> dict[str, Tensor]:
    """A checkpoint under a model's own keys. Raises ValueError on any key that is missing, left over or misshapen.

    wanted: the model's state, which may be on the meta device
    origin: where a key of the model comes from
    spare:  pattern of keys of the checkpoint that the score does not use
    """
    found, lacks, misfits = dict[str, Tensor](), dict[str, None](), dict[str, None]()
    used = set[str]()
    for key, like in wanted.items():
        name, taken = origin(key)
        used.add(name)
        if name not in state:
            lacks[name] = None
            continue
        try:
            found[key] = taken(state[name])
        except (RuntimeError, IndexError):  # of too few dimensions to be cut in parts
            misfits[name] = None
            continue
        if found[key].shape != like.shape:
            misfits[name] = None
    extra = [key for key in state if key not in used and not re.fullmatch(spare, key)]
    said = [
        f"{word} {_listed(keys)}"
        for word, keys in (("lacks", list(lacks)), ("has besides", extra), ("has in another shape", list(misfits)))
        if keys
    ]
    if said:
        raise ValueError(" and ".join(said))
    return found


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"{', '.join(keys[:SHOWN])}{more}"


@contextmanager
def naming(file: Published, field: str) -> Iterator[None]:
    """A ValueError of `mapped` inside the `with` names the field and the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(refused(field, file.here or file.place, str(error))) from error


def skeleton(kind: Any, config: Any, **more: Any) -> dict[str, Tensor]:
    """The state of a model of transformers, without memory: on the meta device."""
    with torch.device("meta"):
        return dict(kind(config, **more).state_dict())


def filled(kind: Any, config: Any, state: Mapping[str, Tensor], device: str, **more: Any) -> Any:
    """A model of transformers with these weights, in float32, for inference."""
    with quiet():
        model = kind.from_pretrained(None, config=config, state_dict=dict(state), dtype=torch.float32, **more)
    return model.to(device).eval()


def named(pretrained: str, revision: str | None) -> dict[str, str]:
    """What a model of transformers is known by: the contents of a folder, or a hub id with its revision."""
    if Path(pretrained).is_dir():
        return {"weights": digest(Path(pretrained), [""])}
    return {"weights": f"{pretrained}@{revision or 'main'}"}


def pretrained(kind: Any, folder: Path, field: str, device: str) -> Any:
    """A model of transformers from its folder, in float32, for inference. Raises ValueError where weights lack."""
    try:
        with quiet():
            model, said = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # any that transformers and safetensors raise
        why = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{field}: {folder} cannot be loaded ({why}); if a copy was cut short, copy it again"
        ) from error
    lacks = sorted({*said["missing_keys"], *(str(key) for key in said["mismatched_keys"])})
    if lacks:
        what = f"lacks {_listed(lacks)}, or has them in another shape"
        raise ValueError(f"{field}: {folder} {what}: it holds no {kind.__name__}; copy it again, or name another")
    return model.to(device).eval()


def half(device: str) -> Any:
    """Float16 where it pays, on a GPU; float32 on a CPU."""
    return torch.autocast(torch.device(device).type, torch.float16, enabled=not device.startswith("cpu"))


__all__ = ["Origin", "filled", "half", "mapped", "named", "naming", "pretrained", "read", "refused", "same", "skeleton"]
