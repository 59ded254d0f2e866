"""LoRA (Hu et al., 2021, arXiv:2106.09685): W + scale * (alpha / r) * B A in place of W, in any network of a model.

It is added to the weights once, when a model is opened, so that evaluations are as fast as without it.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from zz.hub.files import tensors
from zz.hub.location import Location, is_id
from zz.hub.single import Single, named

KIND = ".safetensors"
FILE = f"pytorch_lora_weights{KIND}"  # the name that diffusers saves one under


def find(name: str) -> tuple[Location, Path]:
    """The location of a LoRA, and its file, downloaded from the hub if necessary.

    name: a folder, a .safetensors file, or a hub id (ID or ID@REVISION), with /FILE.safetensors unless that is FILE

    Raises ValueError with the field, the name and the remedy.
    """
    one = _single(name)
    try:
        return one.find()
    except ValueError as error:
        why = error.__cause__
        absent = isinstance(why, EntryNotFoundError) and not isinstance(why, LocalEntryNotFoundError)
        if one.file == FILE and (absent or Path(one.home).is_dir()):
            raise ValueError(f"{error}; name the file that it has, as in model.lora={one.home}/NAME{KIND}") from error
        raise


def here(name: str) -> Path | None:
    """Its file; None if it must be downloaded. Downloads nothing; raises ValueError as `find`."""
    one = _single(name)
    return one.cached() if one.hub else find(name)[1]


def check(name: str) -> None:
    """Raise ValueError if it cannot be loaded, as far as that can be seen without a download."""
    if find_spec("peft") is None:
        raise ValueError(f"model.lora={name} needs peft, which is not installed: pip install peft")
    here(name)


def command(name: str) -> str:
    """The shell command that downloads its file."""
    return _single(name).command()


def fuse(parts: Any, name: str, scale: float, texts: bool = True) -> None:
    """Add it to the network, and where `texts` is set to the text encoders, of a loaded diffusers pipeline.

    Raises ValueError if even one of its tensors fits none of them, about which diffusers would only warn.
    """
    path = find(name)[1]
    try:
        lost = sum("dora_scale" in key for key in tensors(path))  # which diffusers drops
        read = parts.lora_state_dict(str(path), use_safetensors=True)
        given = lost + len(read[0] if isinstance(read, tuple) else read)
        parts.load_lora_weights(str(path), adapter_name="zz", use_safetensors=True)
        loaded = [part for name in parts._lora_loadable_modules if (part := getattr(parts, name)) is not None]
        taken = sum(".zz" in key for part in loaded for key in part.state_dict())
        if taken != given:
            raise ValueError(f"{taken} of its {given} tensors have a place there")
    except Exception as error:  # any that the loaders of safetensors, diffusers, transformers and peft raise
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"model.lora={name} does not fit the {type(parts).__name__}: {line}; give one that was made for it, "
            "as diffusers reads it, or null"
        ) from error
    chosen = [part for part in parts._lora_loadable_modules if texts or not part.startswith("text_encoder")]
    parts.fuse_lora(components=chosen, lora_scale=scale)
    parts.unload_lora_weights()


def _single(name: str) -> Single:
    """The file, and the folder or repository that it is in."""
    if name.endswith(KIND):
        return named("model.lora", name)
    found = [path.name for path in Path(name).glob(f"[!.]*{KIND}")] if Path(name).is_dir() else []
    return Single("model.lora", name, found[0] if len(found) == 1 else FILE, is_id(name))
