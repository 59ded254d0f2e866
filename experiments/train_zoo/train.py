"""Train a model of the zoo: `python -m zz.experiments.train_zoo.train shapes_flow --out DIR`.

Claim: each architecture that the paper names is there in miniature, in diffusers' own classes, on the shapes world.
The same command resumes. DIR/model is an ordinary diffusers pipeline in float16 (of shapes_dpo its U-Net alone);
DIR/STAGE/log.jsonl and accuracy.jsonl say how it learned. Cost: half an hour to three hours of one CPU core; see
each card. Without --precision it computes in bfloat16 where the machine multiplies it itself, else in float32.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from zz.experiments.train_shapes.evaluate import rounded
from zz.experiments.train_shapes.loop import Limits, train
from zz.experiments.train_shapes.sheet import sheet
from zz.experiments.train_shapes.train import machine, quickest
from zz.experiments.train_zoo import card
from zz.experiments.train_zoo.zoo import ZOO, Member


def run(
    name: str,
    out: Path,
    fabric: Fabric,
    limits: Limits,
    seed: int = 0,
    share: float = 1.0,
    compiled: bool = False,
) -> dict[str, Any]:
    """Train as far as the deadline allows, save, and measure what is finished; returns and writes DIR/report.json.

    share:    of the pictures that the recipe has it see
    compiled: whether the largest network of the last stage is compiled, while it learns
    """
    member = ZOO[name]
    lesson: Any = None
    report: dict[str, Any] = {"name": name, "stages": {}, "finished": False}
    for stage in member.stages:
        folder = out / stage.course.name
        batches = stage.batches(seed, folder)
        torch.manual_seed(seed + batches.stream)
        lesson = stage.lesson(lesson)
        if compiled and stage is member.stages[-1]:
            max(lesson.children(), key=lambda part: sum(p.numel() for p in part.parameters())).compile(dynamic=False)
        course = replace(stage.course, samples=max(1, int(share * stage.course.samples)))
        show = partial(_show, member, lesson) if stage is member.stages[-1] else None
        done = train(fabric, course, lesson, batches, folder, limits, show)
        report["stages"][course.name] = done
        lesson.eval()
        if done["steps"] < done["of"]:
            break
    else:
        report["finished"] = True
    if show:
        report["bytes"] = member.save(lesson, out / "model", member.sizes)
    if report["finished"]:
        report |= _measured(member, lesson) | {"machine": machine(fabric)}
        card.write(out / "model", member, report)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


@torch.compiler.set_stance("force_eager")  # other sizes of batches would be compiled anew
def _measured(member: Member, lesson: Any) -> dict[str, Any]:
    """Accuracy over guidance on held-out prompts; at the best of it, or what it is meant for, on those reported."""
    parts, exam = lesson.parts(), member.exam
    opened = member.opened(parts)
    scales = {gamma: exam.means(opened, exam.tune, gamma) for gamma in exam.scales}
    best = member.meant or max(scales, key=lambda gamma: scales[gamma]["strict"]["all"])
    networks = {name: part for name, part in parts.components.items() if hasattr(part, "parameters")}
    millions = (f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for name, part in networks.items())
    return {
        "parameters": f"parameters: {', '.join(millions)}",
        "evaluation": scales,
        "best": best,
        "accuracy": exam.right(opened, best),
    }


@torch.compiler.set_stance("force_eager")
def _show(member: Member, lesson: Any, path: Path) -> None:
    """A sheet of pictures, and how many of a few are right."""
    opened = member.opened(lesson.parts())
    sheet(member.exam.pictures(opened, member.gamma1), path)
    found = member.exam.means(opened, member.exam.quick, member.gamma1)
    with (path.parent / "accuracy.jsonl").open("a") as file:
        file.write(json.dumps({"sheet": path.stem} | found) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ZOO)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, logs and the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the pictures that its recipe has it see")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop at a checkpoint after so long")
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "gpu"])
    parser.add_argument("--precision", default="auto", choices=["auto", "32-true", "bf16-mixed"])
    parser.add_argument("--threads", type=int, default=0, help="of torch on a CPU; 0 leaves them alone")
    parser.add_argument("--compile", action="store_true", help="the network: minutes at first, then faster steps")
    parser.add_argument("--show", type=int, default=50_000, help="samples between sheets of pictures")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    on_gpu = asked.accelerator != "cpu" and torch.cuda.is_available()
    precision: Any = quickest(on_gpu) if asked.precision == "auto" else asked.precision
    fabric = Fabric(accelerator=asked.accelerator, devices=1, precision=precision)
    limits = Limits(deadline=time.monotonic() + 60 * asked.minutes, show=asked.show)
    report = run(asked.name, asked.out, fabric, limits, asked.seed, asked.share, asked.compile)
    print(json.dumps(rounded(report["stages"])))
    if not report["finished"]:
        print(f"stopped before the end; the same command goes on from {asked.out}")


if __name__ == "__main__":
    main()
