"""LoRA (Hu et al., 2021, arXiv:2106.09685): W + scale * (alpha / r) * B A in place of W, in any network of a model.

It is added once, when a model is opened, so that what is open is a plain network, as fast as without it.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from zz.models.hub import location as hub
from zz.models.hub.files import tensors
from zz.models.hub.location import Location, is_id

KIND = ".safetensors"
FILE = f"pytorch_lora_weights{KIND}"  # as diffusers calls one


def find(name: str) -> tuple[Location, Path]:
    """Where a LoRA comes from, and its file, brought from the hub if it is not here yet.

    name: a folder, a .safetensors file, or a hub id (ID or ID@REVISION), with /FILE.safetensors where it is called so
    Raises ValueError with the field, the name and the remedy.
    """
    home, file = _split(name)
    try:
        place = hub.find("model.lora", home, (file,))
    except ValueError as error:
        why = error.__cause__
        absent = isinstance(why, EntryNotFoundError) and not isinstance(why, LocalEntryNotFoundError)
        if file == FILE and (absent or Path(home).is_dir()):
            raise ValueError(f"{error}; name the file that it has, as in model.lora={home}/NAME{KIND}") from error
        raise
    return place, place.root / file


def here(name: str) -> Path | None:
    """Its file, if it is here; None if the hub is to be asked. Brings nothing; raises ValueError as `find`."""
    home, file = _split(name)
    if not is_id(home):
        return find(name)[1]
    repo, _, revision = home.partition("@")
    found = try_to_load_from_cache(repo, file, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def check(name: str) -> None:
    """Raise ValueError where it cannot be loaded, as far as that is known without a download."""
    if find_spec("peft") is None:
        raise ValueError(f"model.lora={name} needs peft, which is not installed: pip install peft")
    here(name)


def command(name: str) -> str:
    """What brings its file from the hub, as a line for a shell."""
    home, file = _split(name)
    repo, _, revision = home.partition("@")
    return f"hf download {repo} {file}" + (f" --revision {revision}" if revision else "")


def fuse(parts: Any, name: str, scale: float) -> None:
    """Add it to the network and the text encoders of a loaded diffusers pipeline.

    Raises ValueError where as much as one tensor of it has no place there, which diffusers would only remark upon.
    """
    path = find(name)[1]
    try:
        lost = sum("dora_scale" in key for key in tensors(path))
        said = parts.lora_state_dict(str(path), use_safetensors=True)
        asked = lost + len(said[0] if isinstance(said, tuple) else said)
        parts.load_lora_weights(str(path), adapter_name="zz", use_safetensors=True)
        loaded = [part for name in parts._lora_loadable_modules if (part := getattr(parts, name)) is not None]
        taken = sum(".zz" in key for part in loaded for key in part.state_dict())
        if taken != asked:
            raise ValueError(f"{taken} of its {asked} tensors have a place there")
    except Exception as error:  # whatever the loaders of safetensors, diffusers, transformers and peft raise
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"model.lora={name} does not fit the {type(parts).__name__}: {line}; give one that was made for it, "
            "as diffusers reads it, or null"
        ) from error
    parts.fuse_lora(components=parts._lora_loadable_modules, lora_scale=scale)
    parts.unload_lora_weights()


def _split(name: str) -> tuple[str, str]:
    """Its folder or hub id, and the file in it."""
    if not name.endswith(KIND):
        found = [path.name for path in Path(name).glob(f"*{KIND}")] if Path(name).is_dir() else []
        return name, found[0] if len(found) == 1 else FILE
    parts = name.split("/")
    if len(parts) > 2 and is_id("/".join(parts[:2])) and not Path(name).is_file():
        return "/".join(parts[:2]), "/".join(parts[2:])
    return str(Path(name).parent), parts[-1]
