"""The requirements of a model before a run, and whether they are met. Loads nothing, downloads no weights.

Small configurations may be downloaded from the hub, as in a run.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import constants

from zz.hub.check import Check
from zz.hub.files import whole
from zz.hub.sources import Source, command, sources
from zz.models.base import Model
from zz.models.networks import PerLeg
from zz.models.pretrained import lora
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import prediction_type
from zz.models.pretrained.starting import GoldenStart


def health(
    model: Model, size: tuple[int, int], precision: str = "32", room: Mapping[str, float] | None = None
) -> list[Check]:
    """The requirements for opening a model, and whether they are met.

    room: GB of free memory on each device that it would be opened on
    """
    if isinstance(model, PerLeg):
        return [check for one in model.models() for check in health(one, size, precision, room)]
    if isinstance(model, Pretrained):
        return _pretrained(model, size, precision, room or {})
    model.check(size, (), precision)
    if model.has_weights:
        return [Check("model", "unknown", f"what {model.name} needs is not known here")]
    return [Check("model", "ok", f"{model.name} needs nothing: it has no weights")]


def _pretrained(model: Pretrained, size: tuple[int, int], precision: str, room: Mapping[str, float]) -> list[Check]:
    """Packages, files, token, space on disk and in memory, and whether the files are as the description says."""
    found = sources(model)
    checks = [_packages(model, found)]
    for source in found:
        checks += [_described(model, source)]
        checks += [_weights(model, source)] if source.location or source.hub else []
    checks += [_lora(model)] if model.fused_lora else []
    if isinstance(model, GoldenStart) and model.npnet:
        checks += [_npnet(model, model.npnet, size, all(source.location for source in found))]
    if hub := [source for source in found if source.hub]:
        checks += [_token(model, hub)] if model.card.gated else []
        checks += [_disk(model, hub)]
    return [*checks, _memory(model, precision, room), _facts(model, found, size, precision)]


def _packages(model: Pretrained, sources: Sequence[Source]) -> Check:
    found, absent = [], []
    extra = ["accelerate"] * model.savings.offload + ["av"] * (model.frames > 1)  # PyAV writes videos
    extra += ["peft"] * bool(model.fused_lora)
    folders = [folder for source in sources for folder in source.folders.values()]
    if any(list(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file() for folder in folders):
        extra += ["sentencepiece", "protobuf"]  # transformers must convert the tokenizer
    for name in ("diffusers", "transformers", *extra):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        return Check(
            "packages", "missing", ", ".join([*found, *(f"no {a}" for a in absent)]), f"pip install {' '.join(absent)}"
        )
    return Check("packages", "ok", ", ".join(found))


def _described(model: Pretrained, source: Source) -> Check:
    """Where it is, its licence, and whether its commit is fixed."""
    own, location = source.field == "pretrained", source.location
    title = "model" if own else source.field
    terms = f"; licence: {model.card.licence or 'not known'}{', gated' * model.card.gated}" if own else ""
    if not location:
        return Check(title, "missing", source.name + terms, source.why)
    if not location.repo:
        return Check(title, "ok", f"folder {location.name}{terms}")
    mirror = location.name != source.name
    asked = location.name.partition("@")[2] or (model.revision if own and not mirror else None)
    repo = f"{location.repo}, a mirror of {source.name}" if mirror else location.repo
    if asked == location.commit:
        return Check(title, "ok", f"{repo}{terms}; pinned at {location.commit}")
    fixed = location.commit if own and not mirror else f"{location.repo}@{location.commit}"
    pin = f"model.{'revision' if own and not mirror else source.field}={fixed}"
    loose = f"not pinned: revision is {asked or 'null'}"
    return Check(title, "ok", f"{repo}{terms}; {loose}", f"the commit here is {location.commit}; {pin} pins it")


def _weights(model: Pretrained, source: Source) -> Check:
    title = "weights" if source.field == "pretrained" else f"{source.field} weights"
    offline = source.hub and constants.is_offline_mode()
    said = ["HF_HUB_OFFLINE is set"] if offline else []
    if source.whole:
        parts = f"whole: {', '.join(source.lacks)}; {source.held / 1e9:.2g} GB"
        return Check(title, "ok", "; ".join([parts, *said]))
    nothing = [part for part, lack in source.lacks.items() if lack in ("nothing", "no configuration")]
    lacks = [f"nothing of {', '.join(nothing)}"] if nothing else []
    lacks += [f"{part}: {lack}" for part, lack in source.lacks.items() if lack and part not in nothing]
    if not source.hub:
        again = ", ".join(part for part, lack in source.lacks.items() if lack)
        return Check(title, "missing", "; ".join(lacks), f"copy {again} into {source.name} again")
    size = [f"{model.card.download_gb:g} GB in all"] if model.card.download_gb else []
    first = "unset HF_HUB_OFFLINE, then " if offline else ""
    remedy = f"{first}zz.run brings it into {constants.HF_HUB_CACHE} (HF_HOME moves that); or: {command(model, source)}"
    return Check(title, "missing", "; ".join(lacks + size + said), remedy)


def _lora(model: Pretrained) -> Check:
    name = str(model.lora)
    try:
        path = lora.here(name)
    except ValueError as error:
        return Check("lora", "missing", name, str(error))
    if path is None:
        return Check("lora", "missing", f"{name} is not here", _brought(lora.command(name)))
    if not whole(path):
        return Check("lora", "missing", f"{path.name} cut short", f"copy {name} again")
    return Check("lora", "ok", f"{path}, at scale {model.lora_scale:g}; {path.stat().st_size / 1e9:.2g} GB")


def _npnet(model: GoldenStart, name: str, size: tuple[int, int], described: bool) -> Check:
    """described: whether the model's configurations are here, so that it is known whether it fits"""
    try:
        path = model.npnet_here(name)
        if described:
            model.check_npnet(name, size)
    except ValueError as error:
        return Check("npnet", "missing", name, str(error))
    if path is None:
        return Check("npnet", "missing", f"{name} is not here", _brought(model.npnet_command(name)))
    return Check("npnet", "ok", f"{path}; {path.stat().st_size / 1e9:.2g} GB")


def _brought(command: str) -> str:
    return f"zz.run brings it into {constants.HF_HUB_CACHE} (HF_HOME moves that); or: {command}"


def _token(model: Pretrained, hub: Sequence[Source]) -> Check:
    saved = Path(constants.HF_TOKEN_PATH)
    if os.environ.get("HF_TOKEN"):
        return Check("token", "ok", "HF_TOKEN is set")
    if os.access(saved, os.R_OK) and saved.stat().st_size:
        return Check("token", "ok", f"one is saved in {saved}")
    if all(source.whole for source in hub):
        return Check("token", "ok", "none is set; the model is gated, but here already")
    page = f"https://huggingface.co/{model.pretrained.partition('@')[0]}"
    remedy = f"accept its terms at {page}, then log in with `hf auth login` or set HF_TOKEN"
    return Check("token", "missing", "none is set, and the model is gated", remedy)


def _disk(model: Pretrained, hub: Sequence[Source]) -> Check:
    """Space for what must still be downloaded."""
    cache, remedy = Path(constants.HF_HUB_CACHE), "make room, or set HF_HOME to a folder on a larger disk"
    if all(source.whole for source in hub):
        return Check.disk("disk", cache, 0, remedy)
    if model.card.download_gb is None:
        return Check("disk", "unknown", f"{Check.disk('disk', cache, 0, '').found}; the card names no download size")
    held = sum(source.held for source in hub) / 1e9
    return Check.disk("disk", cache, max(0.1, model.card.download_gb - held), remedy)


def _memory(model: Pretrained, precision: str, room: Mapping[str, float]) -> Check:
    """Memory for one picture of the recommended size; the runner splits a batch that does not fit."""
    one, offload = model.card.memory_gb, model.savings.offload
    if offload and "cpu" in room:
        return Check("memory", "missing", "model.savings.offload=true needs a GPU to visit", "leave it false on a CPU")
    if not room:
        return Check("memory", "unknown", "free memory is not known here")
    device, free = min(room.items(), key=lambda item: item[1])
    if one is None:
        return Check("memory", "unknown", f"{free:,.1f} GB free on {device}; the card does not say what is needed")
    need = one * (2 if precision == "32" else 1)
    found = f"about {need:g} GB for one picture in precision {precision}; {free:,.1f} GB free on {device}"
    if free >= need:
        return Check("memory", "ok", found)
    if offload:
        return Check("memory", "unknown", f"{found}; with offload only its largest part must fit")
    ways = ["runner.precision=16"] if precision == "32" else []
    ways += ["model.savings.offload=true", "runner.batch_size=1"] if device != "cpu" else ["runner.batch_size=1"]
    return Check("memory", "missing", found, f"{', '.join(ways)}, or a device with more")


def _facts(model: Pretrained, found: Sequence[Source], size: tuple[int, int], precision: str) -> Check:
    """Whether its configurations agree with the description and with the request."""
    try:
        if not all(source.location for source in found):
            raise ValueError
        scheduler, *_ = (model.config_of(part) for part in ("scheduler", *model.classes))
    except ValueError:
        return Check("facts", "unknown", "not known before its configurations are here")
    try:
        plain = replace(model, lora=None, lora_scale=1.0, lora_layers="all")  # the LoRA has a check of its own
        plain.as_leg().check(size, (), precision)  # and so has the NPNet
    except ValueError as error:
        return Check("facts", "missing", "it is not as described, or cannot do what is asked", str(error))
    folders = [folder for source in found for folder in source.folders.values()]
    if model.variant and all(source.whole for source in found) and not model.held_variant(folders):
        return Check("facts", "missing", f"no weights of model.variant={model.variant}", "choose model.variant=null")
    said = f"prediction_type={prediction_type(scheduler)}"
    return Check("facts", "ok", f"{model.kind}, {said}, {size[0]}x{size[1]} pixels")
