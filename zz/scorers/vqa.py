"""VQAScore (Lin et al., 2024, arXiv 2404.01291): how probable a vision-language model finds "Yes" as the answer to
whether the picture shows the prompt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image

from zz.data.base import Prompt
from zz.hub.location import at_revision, find
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import ImageScorer, Needs, Score
from zz.scorers.checkpoints import half, named, pretrained
from zz.scorers.pictures import rgb

PLACE = "{prompt}"


@dataclass(frozen=True)
class VQAScore(ImageScorer):
    """The probability of the answer, 0..1, by any vision-language model that transformers knows, one picture at a time.

    pretrained: a folder or hub id, with a processor and its chat template
    revision:   of a hub id; None: its newest
    question:   what is asked; {prompt} is where the prompt stands
    answer:     whose probability is the score: that of its tokens, one after the other
    scale:      of the printed number
    """

    pretrained: str = "Qwen/Qwen3-VL-8B-Instruct"
    revision: str | None = None
    question: str = 'Does this figure show "{prompt}"? Please answer yes or no.'
    answer: str = "Yes"
    scale: float = 1.0
    name: str = "vqa_score"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if PLACE not in self.question:
            raise ValueError(
                f"scorers.{self.name}.question={self.question!r} has no {PLACE}; put it where the prompt goes"
            )
        if not self.answer.strip():
            raise ValueError(
                f"scorers.{self.name}.answer={self.answer!r} is empty; give the word whose probability counts"
            )

    @property
    def unit(self) -> str:
        return f'P("{self.answer}")' if self.scale == 1 else f'{self.scale:g} P("{self.answer}")'

    @property
    def needs(self):
        return Needs(
            weights=(at_revision(self.pretrained, self.revision),),
            extras=("torchvision",) if "Qwen" in self.pretrained else (),
        )

    def settings(self):
        return {
            **named(self.pretrained, self.revision),
            **{"question": self.question, "answer": self.answer, "scale": self.scale},
        }

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import AutoModelForImageTextToText, AutoProcessor

        at = f"scorers.{self.name}.pretrained"
        folder = find(at, self.pretrained, ("config.json",), self.revision).bring("")
        try:
            with quiet():
                processor: Any = AutoProcessor.from_pretrained(folder)
        except ImportError as error:
            what = next((line for line in str(error).split("\n") if line.strip()), "a package is missing")
            raise ValueError(f"{at}={self.pretrained}: its processor cannot be loaded: {what}") from error
        if not getattr(processor, "chat_template", None):
            raise ValueError(f"{at}={self.pretrained} has no chat template, by which it could be asked; name another")
        model = pretrained(AutoModelForImageTextToText, folder, at, device)
        wanted = processor.tokenizer(self.answer, add_special_tokens=False, return_tensors="pt").input_ids

        @torch.no_grad()
        def one(image: Image.Image, prompt: str) -> float:
            content = [{"type": "image"}, {"type": "text", "text": self.question.replace(PLACE, prompt)}]
            text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            asked = processor(images=[rgb(image)], text=[text], return_tensors="pt")
            with half(device):
                said = model(**{name: x.to(device) for name, x in answered(asked, wanted).items()}, use_cache=False)
            n = wanted.shape[1]
            logits = said.logits[0, -n - 1 : -1].double().log_softmax(-1).cpu()  # what is said before each token of it
            return self.scale * logits.gather(-1, wanted.T).sum().exp().item()

        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            return [one(image, prompt.text) for image, prompt in zip(images, prompts, strict=True)]

        yield score


def answered(asked: Any, answer: torch.Tensor) -> dict[str, torch.Tensor]:
    """A model's inputs with an answer put at their end; what else stands beside each token is 0 there, attention 1."""
    length, found = asked["input_ids"].shape, dict(asked)
    for name, x in asked.items():
        if x.shape == length:
            more = answer if name == "input_ids" else torch.full_like(answer, name == "attention_mask")
            found[name] = torch.cat([x, more.to(x.dtype)], 1)
    return found
