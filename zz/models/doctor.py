"""What a pretrained model needs before a run, and whether it is here. Loads nothing, downloads no weights.

Where the hub can be reached, its small configurations may be brought here, as a run would.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import constants

from zz.models.base import Model
from zz.models.hub.check import Check
from zz.models.hub.files import whole
from zz.models.hub.sources import Source, command, sources
from zz.models.networks import PerLeg
from zz.models.pretrained import lora
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import prediction_type


def health(
    model: Model, size: tuple[int, int], precision: str = "32", room: Mapping[str, float] | None = None
) -> list[Check]:
    """What a model needs before it is opened, and whether it is here.

    room: GB of memory that are free on each device it would be opened on
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
    """Its packages, files, token, room on disk and in memory, and whether it is what its description says."""
    found = sources(model)
    checks = [_packages(model, found)]
    for source in found:
        checks += [_described(model, source)]
        checks += [_weights(model, source)] if source.place or source.hub else []
    checks += [_lora(model)] if model.fused_lora else []
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
        extra += ["sentencepiece", "protobuf"]  # a tokenizer that transformers must make its own of
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
    """What it is, on what terms, and of which commit."""
    own, place = source.field == "pretrained", source.place
    title = "model" if own else source.field
    terms = f"; licence: {model.card.licence or 'not known'}{', gated' * model.card.gated}" if own else ""
    if not place:
        return Check(title, "missing", source.name + terms, source.why)
    if not place.repo:
        return Check(title, "ok", f"folder {place.name}{terms}")
    mirror = place.name != source.name
    asked = place.name.partition("@")[2] or (model.revision if own and not mirror else None)
    repo = f"{place.repo}, a mirror of {source.name}" if mirror else place.repo
    if asked == place.commit:
        return Check(title, "ok", f"{repo}{terms}; pinned at {place.commit}")
    pin = f"revision={place.commit}" if own and not mirror else f"{source.field}={place.repo}@{place.commit}"
    loose = f"not pinned: revision is {asked or 'null'}"
    return Check(title, "ok", f"{repo}{terms}; {loose}", f"the commit here is {place.commit}; model.{pin} pins it")


def _weights(model: Pretrained, source: Source) -> Check:
    title = "weights" if source.field == "pretrained" else f"{source.field} weights"
    offline = source.hub and constants.is_offline_mode()
    said = ["HF_HUB_OFFLINE is set"] if offline else []
    if source.whole:
        whole = f"whole: {', '.join(source.lacks)}; {source.held / 1e9:.2g} GB"
        return Check(title, "ok", "; ".join([whole, *said]))
    nothing = [part for part, lack in source.lacks.items() if lack in ("nothing", "no configuration")]
    lacks = [f"nothing of {', '.join(nothing)}"] if nothing else []
    lacks += [f"{part}: {lack}" for part, lack in source.lacks.items() if lack and part not in nothing]
    if not source.hub:
        return Check(
            title,
            "missing",
            "; ".join(lacks),
            f"copy {', '.join(p for p, k in source.lacks.items() if k)} into {source.name} again",
        )
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
        brings = f"zz.run brings it into {constants.HF_HUB_CACHE} (HF_HOME moves that); or: {lora.command(name)}"
        return Check("lora", "missing", f"{name} is not here", brings)
    if not whole(path):
        return Check("lora", "missing", f"{path.name} cut short", f"copy {name} again")
    return Check("lora", "ok", f"{path}, at scale {model.lora_scale:g}; {path.stat().st_size / 1e9:.2g} GB")


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
    """Room for what is still to be downloaded."""
    cache, remedy = Path(constants.HF_HUB_CACHE), "make room, or set HF_HOME to a folder on a larger disk"
    if all(source.whole for source in hub):
        return Check.disk("disk", cache, 0, remedy)
    if model.card.download_gb is None:
        return Check("disk", "unknown", f"{Check.disk('disk', cache, 0, '').found}; the card names no download size")
    return Check.disk(
        "disk", cache, max(0.1, model.card.download_gb - sum(source.held for source in hub) / 1e9), remedy
    )


def _memory(model: Pretrained, precision: str, room: Mapping[str, float]) -> Check:
    """One picture of the recommended size must fit; the runner splits a batch that does not."""
    one, offload = model.card.memory_gb, model.savings.offload
    if offload and "cpu" in room:
        return Check("memory", "missing", "model.savings.offload=true needs a GPU to visit", "leave it false on a CPU")
    if not room:
        return Check("memory", "unknown", "how much is free is not told here")
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
    """Whether its configurations say what the description says, and allow what is asked."""
    try:
        if not all(source.place for source in found):
            raise ValueError
        scheduler, *_ = (model.config_of(part) for part in ("scheduler", *model.classes))
    except ValueError:
        return Check("facts", "unknown", "not known before its configurations are here")
    try:
        replace(model, lora=None, lora_scale=1.0).check(size, (), precision)  # of which there is a check already
    except ValueError as error:
        return Check("facts", "missing", "it is not as described, or cannot do what is asked", str(error))
    folders = [folder for source in found for folder in source.folders.values()]
    if model.variant and all(source.whole for source in found) and not model.held_variant(folders):
        return Check("facts", "missing", f"no weights of model.variant={model.variant}", "choose null")
    said = f"prediction_type={prediction_type(scheduler)}"
    return Check("facts", "ok", f"{model.kind}, {said}, {size[0]}x{size[1]} pixels")
