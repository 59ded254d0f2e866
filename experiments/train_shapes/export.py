"""From trained parts to ordinary folders: a StableDiffusionPipeline and a CLIP, float16 on disk."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer

from zz.data.shapes_prompts import VOCABULARY
from zz.experiments.train_shapes.unet import scheduler
from zz.models.pretrained.known import SIZES, WORDS
from zz.worlds.shapes import SIZE

LARGEST = 20e6  # bytes of a model's folder, so that it can travel with code


def pipeline(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    prediction_type: str = "epsilon",
) -> StableDiffusionPipeline:
    """The parts as they are, under diffusers' own roof."""
    made: Any = StableDiffusionPipeline  # its annotations deny that there may be no safety checker
    return made(
        vae=vae,
        unet=unet,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler=scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(
    parts: DiffusionPipeline,
    folder: Path,
    alone: str | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
    words: Sequence[str] = VOCABULARY,
) -> int:
    """Save in float16, in place of what was there; returns the bytes. Raises ValueError above 20 MB.

    sizes: (height, width) that it knows, if it is to refuse others
    words: that it knows
    alone: the only part to save
    """
    beside = _empty(folder)
    parts.save_pretrained(beside, safe_serialization=True)
    without: dict[str, Any] = {name: None for name, part in parts.components.items() if part is None}
    if "safety_checker" in without:
        without["requires_safety_checker"] = False
    half = type(parts).from_pretrained(beside, dtype=torch.float16, **without)
    shutil.rmtree(beside)
    if alone:
        getattr(half, alone).save_pretrained(beside / alone, safe_serialization=True)
    else:
        half.save_pretrained(beside, safe_serialization=True)
        (beside / WORDS).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
        if sizes is not None:
            (beside / SIZES).write_text(json.dumps(sizes) + "\n", encoding="utf-8")
    for config in beside.glob("text_encoder*/config.json"):
        _loads_in_float32(config)
    forget_paths(beside)
    size = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
    if size > LARGEST:
        raise ValueError(f"{beside} holds {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}; make its network smaller")
    _replace(beside, folder)
    return size


def save_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Save both towers, their tokenizer and how pixels are made ready for them."""
    beside = _empty(folder)
    clip.save_pretrained(beside)
    CLIPModel.from_pretrained(beside, dtype=torch.float16).save_pretrained(beside)
    _loads_in_float32(beside / "config.json")
    tokenizer.save_pretrained(beside)
    pixels = {"height": SIZE, "width": SIZE}
    CLIPImageProcessor(size=pixels, crop_size=pixels, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(beside)
    _replace(beside, folder)


def _loads_in_float32(config: Path) -> None:
    """transformers would load what is float16 on disk as float16, beside a U-Net that diffusers loads as float32."""
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"dtype": "float32"}, indent=2) + "\n")


def forget_paths(folder: Path) -> None:
    """diffusers notes in every config where it was loaded from; that is a path of this machine."""
    for path in [*folder.glob("model_index.json"), *folder.glob("*/config.json")]:
        content = json.loads(path.read_text())
        if content.pop("_name_or_path", None):
            path.write_text(json.dumps(content, indent=2) + "\n")


def _empty(folder: Path) -> Path:
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    return beside


def _replace(beside: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
