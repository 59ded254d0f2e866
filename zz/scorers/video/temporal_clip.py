"""How little a clip changes from frame to frame, to the eye of a CLIP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image

from zz.data.base import Prompt
from zz.hub.files import digest, resolve
from zz.hub.location import at_revision, find, is_id
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import ImageScorer, Needs, Score


@dataclass(frozen=True)
class TemporalClip(ImageScorer):
    """Mean cosine of the CLIP embeddings of neighbouring frames, times 100 (CLIP-Temp; EvalCrafter, Liu et al., 2023).

    pretrained: a folder with a CLIPModel and its image processor, a hub id, or zz:NAME for one that comes with zz
    revision:   of a hub id; None: its newest

    A still has 100: more is steadier, and no better by itself.
    """

    pretrained: str
    revision: str | None = None
    name: str = "temporal_clip"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "100 cos"
    higher_is_better: ClassVar[bool | None] = None
    reads_clips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pretrained", resolve(self.pretrained))
        if not is_id(self.pretrained) and not Path(self.pretrained, "config.json").is_file():
            raise ValueError(f"{self._field} is no folder of a CLIP: it has no config.json")

    @property
    def _field(self) -> str:
        return f"scorers.{self.name}.pretrained={self.pretrained}"

    def settings(self):
        if is_id(self.pretrained):
            return {"pretrained": self.pretrained, "revision": self.revision}
        return {"weights": digest(Path(self.pretrained), [""])}

    @property
    def needs(self):
        return Needs(weights=(at_revision(self.pretrained, self.revision),))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        field = f"scorers.{self.name}.pretrained"
        folder = find(field, self.pretrained, ("config.json",), self.revision).bring("")
        with quiet():
            from transformers import CLIPImageProcessorPil, CLIPModel

            model: Any = CLIPModel.from_pretrained(folder)
            processor = CLIPImageProcessorPil.from_pretrained(folder)
        model = model.to(device).eval()

        @torch.no_grad()
        def steadiness(frames: Sequence[Image.Image]) -> float:
            if len(frames) < 2:
                raise ValueError(f"{self.name} compares the frames of clips; a picture has one: choose another scorer")
            pixels = processor([frame.convert("RGB") for frame in frames], return_tensors="pt").pixel_values
            seen = [model.vision_model(pixel_values=some.to(device)).pooler_output for some in pixels.split(64)]
            embeds = torch.nn.functional.normalize(model.visual_projection(torch.cat(seen)).double(), dim=-1)  # (F, D)
            return float(100 * (embeds[1:] * embeds[:-1]).sum(-1).mean())

        def score(clips: Sequence[Sequence[Image.Image]], prompts: Sequence[Prompt]) -> list[float]:
            return [steadiness(frames) for frames in clips]

        yield score
