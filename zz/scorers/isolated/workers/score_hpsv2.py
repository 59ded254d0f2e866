"""A worker that scores by the package hpsv2: score_hpsv2.py CHECKPOINT. It runs in the environment of that name.

hpsv2.score reads its checkpoint anew at every call, and before that a CLIP of 4 GB that the checkpoint then replaces.
Here the package's own model, transform and tokenizer do what it does, with the checkpoint read once.
"""

import importlib.util
import shutil
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protocol import serve

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"  # which the wheel of hpsv2 lacks, and clip's has


def inside(package):
    """A package's folder, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package} in {sys.prefix}; make the environment anew")
    return Path(found.submodule_search_locations[0])


def completed():
    """Put beside hpsv2 what its wheel forgot, and give it a module that it imports but does not use."""
    file = inside("hpsv2") / "src" / "open_clip" / VOCABULARY
    if not file.is_file():
        shutil.copy(inside("clip") / VOCABULARY, file)
    if importlib.util.find_spec("tkinter") is None:
        sys.modules["turtle"] = types.ModuleType("turtle")
        sys.modules["turtle"].forward = None  # type: ignore[attr-defined]


def load():
    completed()
    from importlib.metadata import version

    import torch
    from hpsv2.src.open_clip import create_model_and_transforms, get_tokenizer
    from PIL import Image

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, _, transform = create_model_and_transforms(
        "ViT-H-14", "", precision="amp", device=device, light_augmentation=True, aug_cfg={}, output_dict=True,
        with_score_predictor=False, with_region_predictor=False,
    )  # fmt: skip
    state = torch.load(sys.argv[1], map_location=device, weights_only=True)["state_dict"]
    model.load_state_dict(state)
    model = model.to(device).eval()
    tokenizer = get_tokenizer("ViT-H-14")

    @torch.no_grad()
    def answer(request):
        with Image.open(request["picture"]) as picture:
            image = transform(picture).unsqueeze(0).to(device)
        text = tokenizer([request["prompt"]]).to(device)
        with torch.autocast(device, torch.float16, enabled=device == "cuda"):
            said = model(image, text)
            logits = said["image_features"] @ said["text_features"].T
        return torch.diagonal(logits).float().item()

    return {"hpsv2": version("hpsv2"), "torch": torch.__version__}, answer


if __name__ == "__main__":
    serve(load)
