"""Train the shapes model from nothing: `python -m zz.experiments.train_shapes.train --out DIR`.

Claim: a latent text-to-image model on which samplers can be compared comes out of one command.
Stages: autoencoder, its gate, text encoder and U-Net, two-tower. A stage that is finished is skipped and one that is
not goes on from its checkpoint, so the same command also resumes. DIR/model is an ordinary StableDiffusionPipeline,
DIR/clip an ordinary CLIPModel.
Cost, as far as it was measured, on one core: 12 minutes to an autoencoder that passes its gate; then 134 samples of the
U-Net a CPU-second with --precision bf16-mixed where the processor multiplies bfloat16 itself (AMX), 91 without. The
whole run has not been timed, nor any of it on a GPU, which takes larger batches and so more samples for as many steps.
"""

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from lightning.fabric import Fabric
from PIL import Image

import zz
from zz.data.shapes_prompts import Quick, ShapesTune
from zz.experiments.train_shapes import autoencoder, two_tower, unet
from zz.experiments.train_shapes.card import write_card, write_clip_card
from zz.experiments.train_shapes.evaluate import SIZE, evaluate, rounded
from zz.experiments.train_shapes.export import pipeline, save_clip, save_pipeline
from zz.experiments.train_shapes.loop import Course, Limits, train
from zz.experiments.train_shapes.sheet import sheet
from zz.experiments.train_shapes.tokens import build_tokenizer
from zz.experiments.train_shapes.world import Batches
from zz.models.sd import StableDiffusion, StableDiffusionPipeline

Report = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """All that the weights are a function of.

    seed:    of weights and data
    coder, generator, towers: the shapes of the networks
    courses: how long and how fast each stage learns
    batches: pictures in a batch of each stage
    drop:    share of captions left empty
    wrong:   share of captions of another picture
    gate:    share of reconstructions that the judge must accept before the U-Net may train
    """

    seed: int = 0
    coder: autoencoder.Plan = field(default_factory=autoencoder.Plan)
    generator: unet.Plan = field(default_factory=unet.Plan)
    towers: two_tower.Plan = field(default_factory=two_tower.Plan)
    courses: tuple[Course, Course, Course] = (
        Course("autoencoder", 120_000, lr=2e-3, warmup=100, ema=0.998),
        Course("generator", 800_000, lr=1e-3),
        Course("two_tower", 200_000, lr=1e-3),
    )
    batches: tuple[int, int, int] = (32, 64, 64)
    drop: float = 0.1
    wrong: float = 0.0
    gate: float = 0.95


def run(recipe: Recipe, out: Path, fabric: Fabric, limits: Limits, final: bool = True) -> Report:
    """All stages, as far as the deadline lets them; returns and writes DIR/report.json.

    final: whether to measure the accuracy of a model that is finished
    """
    if (out / "report.json").is_file():
        before = json.loads((out / "report.json").read_text())
        sizes = zip(recipe.courses, recipe.batches, strict=True)
        wanted = {course.name: -(-course.samples // size) for course, size in sizes}
        if before["finished"] and all(before["stages"][name]["steps"] >= n for name, n in wanted.items()):
            return before
    report: Report = {"stages": {}, "finished": False}
    vae = _autoencoder(recipe, out / "autoencoder", fabric, limits, report)
    if vae is not None and _generator(recipe, out, vae, fabric, limits, report, final):
        report["finished"] = _two_tower(recipe, out, fabric, limits, report)
    _write(out / "report.json", report)
    return report


def _autoencoder(recipe: Recipe, out: Path, fabric: Fabric, limits: Limits, report: Report) -> AutoencoderKL | None:
    passed = out / "gate.json"
    if not passed.is_file():
        course, batches = recipe.courses[0], Batches(recipe.seed, 1, recipe.batches[0])
        torch.manual_seed(recipe.seed)
        lesson = autoencoder.Lesson(recipe.coder)
        seen = torch.cat([batches[10**6 + i].pictures for i in range(-(-512 // batches.size))])

        def show(path: Path) -> None:
            both = torch.cat([seen[:24].cpu(), autoencoder.reconstruct(lesson.vae, seen[:24]).cpu()])
            sheet([Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in both], path)

        done = train(fabric, course, lesson, batches, out, limits, show)
        if done["steps"] < done["of"]:
            report["stages"][course.name] = done
            return None
        vae = lesson.vae.eval()
        autoencoder.standardise(vae, seen)
        vae = vae.half().float()  # as it will be saved: whatever is judged and learned from is what will be used
        found = autoencoder.gate(vae)
        fabric.print("gate:", json.dumps(rounded(found)))
        if found["all"] < recipe.gate:
            raise SystemExit(
                f"the judge accepts {found['all']:.1%} of the autoencoder's reconstructions, below {recipe.gate:.0%}; "
                f"raise --autoencoder-samples above {course.samples} and run again, it goes on from its checkpoint"
            )
        vae.save_pretrained(out / "vae")
        _write(passed, {"gate": found, "done": done})
    told = json.loads(passed.read_text())
    report["stages"]["autoencoder"], report["gate"] = told["done"], told["gate"]
    return fabric.to_device(AutoencoderKL.from_pretrained(out / "vae"))


def _generator(
    recipe: Recipe, out: Path, vae: AutoencoderKL, fabric: Fabric, limits: Limits, report: Report, final: bool
) -> bool:
    course = recipe.courses[1]
    batches = Batches(recipe.seed, 2, recipe.batches[1], recipe.drop, recipe.wrong)
    torch.manual_seed(recipe.seed + 1)
    lesson = unet.Lesson(recipe.generator, vae, build_tokenizer())
    parts = pipeline(vae, lesson.unet, lesson.text, lesson.tokenizer)
    first = Quick().prompts

    def show(path: Path) -> None:
        opened = StableDiffusionPipeline(parts)
        texts = [prompt.text for prompt in first[:36]]
        sheet(zz.sample(opened, texts, sampler=zz.Standard(4.0), steps=20, size=SIZE), path)
        found = evaluate(opened, Quick(), zz.Standard(4.0))
        with (path.parent / "accuracy.jsonl").open("a") as file:
            file.write(json.dumps({"sheet": path.stem} | rounded(found)) + "\n")

    done = train(fabric, course, lesson, batches, out / "generator", limits, show)
    report["stages"][course.name] = done
    lesson.eval()
    report["bytes"] = save_pipeline(parts, out / "model")
    finished = done["steps"] >= done["of"]
    if finished and final:
        with StableDiffusion(str(out / "model"), size=SIZE).open(str(fabric.device)) as opened:  # as it was saved
            report["evaluation"] = {
                gamma: rounded(evaluate(opened, ShapesTune(), zz.Standard(gamma))) for gamma in (1.5, 2.5, 3.5, 5.0)
            }
    write_card(out / "model", _facts(recipe, lesson, vae, fabric, report))
    return finished


def _two_tower(recipe: Recipe, out: Path, fabric: Fabric, limits: Limits, report: Report) -> bool:
    course, batches = recipe.courses[2], Batches(recipe.seed, 3, recipe.batches[2])
    torch.manual_seed(recipe.seed + 2)
    lesson = two_tower.Lesson(recipe.towers, build_tokenizer())
    done = train(fabric, course, lesson, batches, out / "two_tower", limits)
    report["stages"][course.name] = done
    lesson.eval()
    report["retrieval"] = two_tower.retrieval(lesson)
    save_clip(lesson.clip, lesson.tokenizer, out / "clip")
    facts = {
        "parameters": f"{sum(p.numel() for p in lesson.clip.parameters()) / 1e6:.2f} M parameters",
        "recipe": f"seed {recipe.seed}, {recipe.towers}, batches of {recipe.batches[2]}",
        "samples": done["samples"],
        "minutes": done["seconds"] / 60,
        "machine": machine(fabric),
        "retrieval": report["retrieval"],
    }
    write_clip_card(out / "clip", facts)
    return done["steps"] >= done["of"]


def _facts(recipe: Recipe, lesson: unet.Lesson, vae: AutoencoderKL, fabric: Fabric, report: Report) -> Report:
    named: dict[str, Any] = {"U-Net": lesson.unet, "text encoder": lesson.text, "autoencoder": vae}
    millions = (f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for name, part in named.items())
    return report | {
        "parameters": ", ".join(millions),
        "machine": machine(fabric),
        "steps": 20,
        "dataset": "shapes_tune",
        "recipe": {
            "seed": recipe.seed,
            "autoencoder": f"{recipe.coder}, L1 with ink weighed up, edges and a little KL",
            "U-Net and text encoder": f"{recipe.generator}, noise prediction, scaled-linear levels, 1000 steps",
            "batches": f"{recipe.batches[0]} and {recipe.batches[1]}",
            "courses": "; ".join(map(str, recipe.courses[:2])),
            "empty and wrong captions": f"{recipe.drop:.0%} and {recipe.wrong:.0%}",
        },
    }


def machine(fabric: Fabric) -> str:
    """What it was trained on, in words."""
    cores = f"{torch.get_num_threads()} thread(s) of {platform.machine()}"
    named = torch.cuda.get_device_name() if fabric.device.type == "cuda" else cores
    return f"{named}, PyTorch {torch.__version__}"


def quickest(on_gpu: bool) -> Any:
    """Fabric's word for bfloat16 on a GPU and where a CPU multiplies it itself (AMX); elsewhere it is no faster."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest PyTorch
    return "bf16-mixed" if on_gpu or capabilities.get("amx_bf16") else "32-true"


def _write(path: Path, content: Report) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    usual = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, logs and the model")
    parser.add_argument("--seed", type=int, default=usual.seed)
    for flag, course in zip(("--autoencoder-samples", "--samples", "--towers-samples"), usual.courses, strict=True):
        parser.add_argument(flag, type=int, default=course.samples, help=f"pictures that the {course.name} sees")
    parser.add_argument("--batch", type=int, nargs=3, default=None, help="of the three stages; larger on a GPU")
    parser.add_argument("--drop", type=float, default=usual.drop, help="share of captions left empty")
    parser.add_argument("--wrong", type=float, default=usual.wrong, help="share of captions of another picture")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop at a checkpoint after so long")
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "gpu"])
    parser.add_argument("--precision", default="auto", choices=["auto", "32-true", "bf16-mixed"])
    parser.add_argument("--threads", type=int, default=0, help="of torch on a CPU; 0 leaves them alone")
    parser.add_argument("--workers", type=int, default=None, help="processes that draw; 0 on a CPU, 8 on a GPU")
    parser.add_argument("--show", type=int, default=50_000, help="samples between sheets of pictures")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    on_gpu = asked.accelerator != "cpu" and torch.cuda.is_available()
    precision: Any = quickest(on_gpu) if asked.precision == "auto" else asked.precision
    fabric = Fabric(accelerator=asked.accelerator, devices=1, precision=precision)
    wanted = (asked.autoencoder_samples, asked.samples, asked.towers_samples)
    coder, generator, towers = (replace(c, samples=n) for c, n in zip(usual.courses, wanted, strict=True))
    recipe = replace(
        usual,
        seed=asked.seed,
        courses=(coder, generator, towers),
        batches=tuple(asked.batch) if asked.batch else (128, 256, 256) if on_gpu else usual.batches,
        drop=asked.drop,
        wrong=asked.wrong,
    )
    workers = (8 if on_gpu else 0) if asked.workers is None else asked.workers
    limits = Limits(deadline=time.monotonic() + 60 * asked.minutes, show=asked.show, workers=workers)
    report = run(recipe, asked.out, fabric, limits)
    print(json.dumps(rounded_stages(report)))
    if not report["finished"]:
        print(f"stopped before the end; the same command goes on from {asked.out}")


def rounded_stages(report: Report) -> Report:
    """A line of the report for the terminal."""
    return {name: {k: rounded(v) for k, v in done.items()} for name, done in report["stages"].items()}


if __name__ == "__main__":
    main()
