"""What is in the zoo: of each model its stages, and how it is opened. See each lesson's own page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from zz.experiments.train_shapes import autoencoder
from zz.experiments.train_shapes.evaluate import SIZE
from zz.experiments.train_shapes.export import save_pipeline
from zz.experiments.train_shapes.loop import Course
from zz.experiments.train_shapes.world import Batches
from zz.experiments.train_zoo import dit, dpo, flow, motion, turbo, v, xl
from zz.experiments.train_zoo.exam import MOTION, SHAPES, Exam
from zz.models.animatediff import AnimateDiffPipeline
from zz.models.hunyuan_dit import HunyuanDiTPipeline
from zz.models.sd import StableDiffusionPipeline
from zz.models.sd3 import StableDiffusion3Pipeline
from zz.models.sdxl import StableDiffusionXLPipeline
from zz.worlds.motion import FRAMES


@dataclass(frozen=True)
class Stage:
    """One thing to learn.

    course:  how long and how fast
    lesson:  makes it, of the lesson of the stage before
    batches: makes its data, of the seed and the stage's folder
    """

    course: Course
    lesson: Callable[[Any], Any]
    batches: Callable[[int, Path], Batches]


def whole(lesson: Any, folder: Path, sizes: Sequence[tuple[int, int]]) -> int:
    """Save a pipeline with all of its parts."""
    return save_pipeline(lesson.parts(), folder, sizes=sizes)


def network(lesson: Any, folder: Path, sizes: Sequence[tuple[int, int]]) -> int:
    """Save the U-Net alone, to be put in place of another model's."""
    return save_pipeline(lesson.parts(), folder, "unet")


@dataclass(frozen=True)
class Member:
    """A model of the zoo.

    about:  what it is, for its card
    stages: what it learns, in order; no two see the same pictures
    opened: zz's pipeline over its parts
    gamma1: guidance that it is looked at with while it learns
    meant:  guidance that it was made for, and is reported at; None: whatever is best for it
    exam:   what it is asked
    sizes:  that it knows, (height, width) in pixels; the first is its own
    save:   writes its folder; returns the bytes
    """

    about: str
    stages: tuple[Stage, ...]
    opened: Callable[[Any], Any]
    gamma1: float = 3.0
    meant: float | None = None
    exam: Exam = SHAPES
    sizes: tuple[tuple[int, int], ...] = (SIZE,)
    save: Callable[[Any, Path, Sequence[tuple[int, int]]], int] = whole


def about(lesson: ModuleType) -> str:
    """What its page says of it."""
    return (lesson.__doc__ or "").strip()


def drawn(stream: int, size: int = 64, drop: float = 0.1) -> Callable[[int, Path], Batches]:
    """Pictures of the world with their captions, a share of them empty."""
    return lambda seed, _: Batches(seed, stream, size, drop=drop)


def _flow(parts: Any) -> StableDiffusion3Pipeline:
    pipeline = StableDiffusion3Pipeline(parts)
    pipeline.t5_tokens = 0
    return pipeline


def _turbo(
    stream: int,
    guided: float | None,
    gamma1: float,
    meant: float | None = None,
    save: Callable[[Any, Path, Sequence[tuple[int, int]]], int] = whole,
) -> Member:
    """Students of 16, 8 and 4 steps; only the first has a guided teacher."""
    first = Stage(
        Course("16_steps", 64_000, lr=2e-4, ema=0.998),
        lambda _: turbo.Lesson(v.finished(), 16, guided),
        drawn(stream),
    )
    second = Stage(
        Course("8_steps", 64_000, lr=2e-4, ema=0.998),
        lambda teacher: turbo.Lesson(teacher.parts(), 8),
        drawn(stream + 1),
    )
    third = Stage(
        Course("4_steps", 128_000, lr=2e-4, ema=0.998),
        lambda teacher: turbo.Lesson(teacher.parts(), 4),
        drawn(stream + 2),
    )
    return Member(
        about(turbo),
        (first, second, third),
        StableDiffusionPipeline,
        gamma1,
        meant,
        exam=replace(SHAPES, steps=4),
        save=save,
    )


ZOO = {
    "shapes_v": Member(
        about(v),
        (Stage(Course("v", 200_000, lr=5e-4), lambda _: v.Lesson(), drawn(11)),),
        StableDiffusionPipeline,
    ),
    "shapes_flow": Member(
        about(flow),
        (Stage(Course("flow", 1_000_000, lr=1e-3, warmup=500), lambda _: flow.Lesson(), drawn(12)),),
        _flow,
    ),
    "shapes_xl": Member(
        about(xl),
        (
            Stage(
                Course("xl", 420_000, lr=1e-3, warmup=500),
                lambda _: xl.Lesson(),
                lambda seed, _: xl.SizedBatches(seed, 13, 64, drop=0.1),
            ),
        ),
        StableDiffusionXLPipeline,
        sizes=(SIZE, (xl.LARGE, xl.LARGE)),
    ),
    "shapes_dit": Member(
        about(dit),
        (
            Stage(
                Course("autoencoder", 50_000, lr=2e-3, warmup=100, ema=0.998),
                lambda _: autoencoder.Lesson(dit.PLAN),
                lambda seed, _: Batches(seed, 17, 32, side=dit.SIDE),
            ),
            Stage(
                Course("words", 80_000, lr=2e-3, warmup=100, ema=0.998),
                dit.Words,
                lambda seed, _: Batches(seed, 27, 64, drop=0.02, side=8),  # its pictures are not looked at
            ),
            Stage(
                Course("transformer", 352_000, lr=1e-3, warmup=500),
                dit.Lesson,
                lambda seed, _: Batches(seed, 18, 64, drop=0.1, side=dit.SIDE),
            ),
        ),
        HunyuanDiTPipeline,
        exam=replace(SHAPES, size=(dit.SIDE, dit.SIDE)),
        sizes=((dit.SIDE, dit.SIDE),),
    ),
    "shapes_turbo": _turbo(20, None, gamma1=2.0),
    "shapes_turbo_free": _turbo(23, 3.0, gamma1=1.0, meant=1.0, save=network),
    "shapes_dpo": Member(
        about(dpo),
        (
            Stage(
                Course("dpo", 128_000, lr=2e-5, warmup=100, fall=0.3),
                lambda _: dpo.Lesson(),
                lambda seed, out: dpo.Pairs(seed, 16, 64, folder=str(out / "pairs")),
            ),
        ),
        StableDiffusionPipeline,
        save=network,
    ),
    "shapes_motion": Member(
        about(motion),
        (
            Stage(
                Course("starts", 10_000, lr=1e-3, warmup=50, ema=0.99),
                lambda _: motion.Lesson(starts=1.0),
                lambda seed, _: motion.Motions(seed, 28, 10),
            ),
            Stage(
                Course("motion", 16_000, lr=1e-3, warmup=200),
                lambda lesson: motion.with_starts(lesson, 0.25),
                lambda seed, _: motion.Clips(seed, 19, 8, drop=0.1),
            ),
        ),
        lambda parts: AnimateDiffPipeline(parts, frames=FRAMES),
        exam=MOTION,
        save=lambda lesson, folder, sizes: lesson.save(folder, sizes),
    ),
}
