"""One stage of training: from its checkpoint if it has one, to its end or to the deadline, under Lightning Fabric.

All chance in step i comes from (seed, stream, i), so that a checkpoint needs no generator's state, and a run that was
killed ends with the weights of one that was not (on one CPU process; a GPU's kernels may differ in the last bit).
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zz.experiments.train_shapes.world import Batches


@dataclass(frozen=True)
class Course:
    """How a stage learns.

    name:    of the stage, and of its folder
    samples: pictures seen in all
    lr:      AdamW's, after a warm-up of `warmup` steps; over the last `fall` (share) it falls to a fiftieth
    ema:     decay of the moving average that is kept as the result; smaller in the first steps
    """

    name: str
    samples: int
    lr: float = 1e-3
    warmup: int = 200
    fall: float = 0.5
    ema: float = 0.999

    def rate(self, step: int, steps: int) -> float:
        left = (steps - step) / max(1, self.fall * steps)
        fallen = 1.0 if left >= 1 else 0.02 + 0.98 * (1 - cos(pi * left)) / 2
        return self.lr * min(1.0, (step + 1) / self.warmup) * fallen


class Average:
    """Exponential moving average of weights, corrected early: in the first steps it forgets faster."""

    def __init__(self, lesson: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.live: list[Tensor] = [p for p in lesson.parameters() if p.requires_grad]
        self.kept = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        weight = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.kept, [p.detach() for p in self.live], weight)

    @torch.no_grad()
    def store(self, weights: list[Tensor], count: int) -> None:
        self.count = count
        for mine, theirs in zip(self.kept, weights, strict=True):
            mine.copy_(theirs)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The averaged weights in place of the live ones, for as long as the `with` lasts."""
        live = [p.detach().clone() for p in self.live]
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.live, live)

    @torch.no_grad()
    def put(self) -> None:
        torch._foreach_copy_(self.live, self.kept)


@dataclass(frozen=True)
class Limits:
    """When to stop, save and show.

    deadline: time.monotonic() at which a stage ends at its checkpoint
    save:     seconds between checkpoints
    log:      steps between lines of the log
    show:     samples between sheets of pictures; 0: none
    workers:  processes that draw pictures ahead
    """

    deadline: float = float("inf")
    save: float = 120.0
    log: int = 50
    show: int = 50_000
    workers: int = 0


def train(
    fabric: Fabric,
    course: Course,
    lesson: nn.Module,
    batches: Batches,
    folder: Path,
    limits: Limits,
    show: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Train a lesson, a module whose forward takes (batch, generator) and gives the loss.

    Leaves the averaged weights in the lesson. Returns what was done: steps, steps in all, samples, seconds, loss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = -(-course.samples // batches.size)
    lesson = fabric.to_device(lesson)
    optimizer = torch.optim.AdamW(lesson.parameters(), course.lr, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    average = Average(lesson, course.ema)
    done = {"steps": 0, "of": steps, "samples": 0, "seconds": 0.0, "loss": float("nan")}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        done |= _load(checkpoint, lesson, optimizer, average, batches)
    done["of"] = steps
    if done["steps"] < steps:
        model, wrapped = fabric.setup(lesson, optimizer)
        _steps(fabric, course, model, wrapped, average, batches, limits, done, folder, show)
        _save(checkpoint, lesson, optimizer, average, batches, done)
    average.put()
    return done


def _steps(
    fabric: Fabric,
    course: Course,
    model: Any,
    optimizer: Any,
    average: Average,
    batches: Batches,
    limits: Limits,
    done: dict[str, Any],
    folder: Path,
    show: Callable[[Path], None] | None,
) -> None:
    steps, losses = done["of"], []
    begun, before = time.monotonic(), done["seconds"]
    saved = begun
    loss_column = TextColumn("loss {task.fields[loss]:.4f}")
    clock = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), loss_column, *clock)
    with Progress(*columns) as progress:
        bar = progress.add_task(course.name, total=steps, completed=done["steps"], loss=done["loss"])
        # the fused kernel's backward takes half of a step in bfloat16 on a CPU; sequences here are short
        on_cpu = fabric.device.type == "cpu"
        model.train()
        for batch in batches.between(done["steps"], steps, limits.workers):
            step = batch.step
            for group in optimizer.param_groups:
                group["lr"] = course.rate(step, steps)
            entropy = np.random.SeedSequence([batches.seed, batches.stream, step])
            rng = torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))
            with sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext():
                loss = model(batch, rng)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update()
            losses.append(loss.detach())
            done |= {"steps": step + 1, "samples": (step + 1) * batches.size}
            now = time.monotonic()
            done["seconds"] = before + now - begun
            if (step + 1) % limits.log == 0 or step + 1 == steps or now >= limits.deadline:
                done["loss"] = float(torch.stack(losses).mean())
                losses = []
                _log(folder / "log.jsonl", done | {"lr": course.rate(step, steps)})
            progress.update(bar, completed=step + 1, loss=done["loss"])
            if show and limits.show and (step + 1) * batches.size // limits.show > step * batches.size // limits.show:
                model.eval()
                with average.shown(), torch.no_grad():
                    show(folder / f"sheet-{(step + 1) * batches.size:09d}.png")
                model.train()
            if now >= limits.deadline:
                break
            if now - saved >= limits.save:
                _save(folder / "checkpoint.pt", model.module, optimizer, average, batches, done)
                saved = now
        model.eval()


def _save(path: Path, lesson: nn.Module, optimizer: Any, average: Average, batches: Batches, done: dict) -> None:
    """Whole or not at all: a kill in between leaves the one before."""
    beside = path.with_suffix(".part")
    state = {
        "lesson": lesson.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.kept,
        "count": average.count,
        "batches": asdict(batches),
        "done": dict(done),
    }
    torch.save(state, beside)
    beside.replace(path)


def _load(path: Path, lesson: nn.Module, optimizer: Any, average: Average, batches: Batches) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["batches"] != asdict(batches):
        raise ValueError(f"{path} was made from {state['batches']}, not {asdict(batches)}; choose another --out")
    lesson.load_state_dict(state["lesson"])
    optimizer.load_state_dict(state["optimizer"])
    average.store(state["average"], state["count"])
    return state["done"]


def _log(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
