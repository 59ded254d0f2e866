"""Prompts encoded once for all slots that will ask for them, and a batch drawn from them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from zz.data.base import Picture
from zz.diffusion.network import Guided
from zz.diffusion.probes.step import Probe, no_op
from zz.lab.job import Job
from zz.lab.slots import Slot
from zz.models.base import Pipeline
from zz.sampling import draw

CACHE_BYTES = 2**31  # of conditions, 1,600 prompts of SDXL in precision 32: what is beyond is encoded again
Conditions = tuple[Any, Any]  # of the prompts, and of the negative prompts


class Encoder:
    """Encodes each batch of prompts once. Conditions wait on the CPU meanwhile.

    room: bytes that they may take there; what has none left is encoded again
    """

    def __init__(self, pipeline: Pipeline, slots: Sequence[Slot] = (), room: int = CACHE_BYTES) -> None:
        self.pipeline, self.kept, self.room = pipeline, dict[object, Conditions](), room
        self._cut = dict[str, dict[str, int]]()  # by prompt: what is cut of the texts that it is encoded as
        self.uses = Counter(_key(slot.job, slot.padded) for slot in slots)

    def __call__(self, job: Job, pictures: Sequence[Picture]) -> Conditions:
        """The conditions of some pictures of a job."""
        if (kept := self.used(job, pictures)) is not None:
            return _moved(kept, self.pipeline.device)
        texts = [picture.prompt.text for picture in pictures]
        conditions = self.pipeline.encode(texts, [job.recipe.negative_prompt] * len(texts))
        key, size = _key(job, pictures), _bytes(conditions)
        if self.uses[key] > 0 and size <= self.room:
            self.kept[key] = _moved(conditions, torch.device("cpu"))
            self.room -= size
        return conditions

    def cut(self, job: Job, pictures: Sequence[Picture]) -> tuple[tuple[str, int], ...]:
        """Their texts that the encoder does not read to the end, the negative prompt among them, and what it reads."""
        negative = job.recipe.negative_prompt
        texts = [*(picture.prompt.text for picture in pictures), *([] if negative is None else [negative])]
        self._cut |= {text: self.pipeline.cut([text]) for text in texts if text not in self._cut}
        return tuple({cut: n for text in texts for cut, n in self._cut[text].items()}.items())

    def used(self, job: Job, pictures: Sequence[Picture]) -> Conditions | None:
        """One use less of these prompts: what is kept of them, and let go after the last one."""
        key = _key(job, pictures)
        self.uses[key] -= 1
        if self.uses[key] > 0 or key not in self.kept:
            return self.kept.get(key)
        self.room += _bytes(self.kept[key])
        return self.kept.pop(key)


def draw_pictures(
    job: Job,
    pictures: Sequence[Picture],
    pipeline: Pipeline,
    encoded: Conditions,
    probe: Probe = no_op,
    around: Callable[[Guided], Guided] | None = None,
) -> Tensor:
    """One batch of a job's latents  # (B, C, [F,] h, w)"""
    recipe = job.recipe
    return draw(
        pipeline,
        encoded,
        [picture.seed for picture in pictures],
        sampler=recipe.sampler,
        solver=recipe.solver,
        guidance=recipe.guidance,
        schedule=recipe.schedule,
        steps=recipe.steps,
        size=recipe.size,
        probe=probe,
        around=around,
    )


def _key(job: Job, pictures: Sequence[Picture]) -> object:
    return job.recipe.negative_prompt, tuple(picture.prompt.text for picture in pictures)


def _moved(conditions: Any, device: torch.device) -> Any:
    """Conditions on another device, whatever they are made of."""
    return apply_to_collection(conditions, Tensor, lambda tensor: tensor.to(device))


def _bytes(conditions: Any) -> int:
    """Of the tensors in conditions."""
    sizes: list[int] = []
    apply_to_collection(conditions, Tensor, lambda tensor: sizes.append(tensor.numel() * tensor.element_size()))
    return sum(sizes)
