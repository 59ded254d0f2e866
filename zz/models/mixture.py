"""An exact model: a Gaussian mixture, whose optimal denoiser has a closed form.

It downloads nothing and needs neither diffusers nor transformers. A condition is a subset of the components.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from zz.diffusion.finite import checked
from zz.diffusion.levels import Discrete, Flow, Levels, discrete
from zz.diffusion.prediction import Prediction, from_eps, from_v, from_velocity, from_x0
from zz.diffusion.schedule import Node
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.schedules.shifted import Shifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.validate import check_choice, check_number
from zz.models.base import Model, Pipeline
from zz.worlds.scenes import Compass, Pictures, World


@dataclass(frozen=True)
class Mixture(Model):
    """Components of equal weight around a world's means, with one standard deviation.

    world:      Pictures (small RGB pictures) or Compass (2-D points)
    std:        standard deviation of each component, in latent units (pixels run over -1..1)
    prediction: type of the network's output: eps, x0 or v; unused for a flow, which predicts velocity
    levels:     the noise levels that the network assumes
    gamma1, steps, size, batch_size: recommended
    """

    world: World = field(default_factory=Pictures)
    std: float = 0.1
    prediction: Literal["eps", "x0", "v"] = "eps"
    levels: Levels = field(default_factory=discrete)
    gamma1: float = 2.0
    steps: int = 50
    size: tuple[int, int] = (32, 32)
    batch_size: int = 16
    name: str = "mixture"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        check_number("model.std", self.std, 1e-6)
        check_choice("model.prediction", self.prediction, ("eps", "x0", "v"))

    @property
    def has_weights(self) -> bool:
        return False

    def identity(self) -> Mapping[str, Any]:
        return {
            "world": self.world,
            "std": self.std,
            "prediction": self.prediction,
            "levels": self.levels,
            "version": 1,
        }

    def noise_levels(self) -> tuple[Levels, Schedule]:
        return self.levels, Shifted() if isinstance(self.levels, Flow) else Timesteps("leading", offset=1)

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        if precision != "32":
            raise ValueError(
                f"runner.precision={precision}: the exact model is exact in 32 only; choose runner.precision=32"
            )
        if isinstance(self.world, Pictures) and not 16 <= min(size) <= max(size) <= 256:
            raise ValueError(f"size={size[0]}x{size[1]}: the exact model draws 16 to 256 pixels a side")
        for prompt in prompts:
            self.world.allowed(prompt)

    @contextmanager
    def open(self, device: str = "cpu", precision: str = "32") -> Iterator["MixturePipeline"]:
        self.check(self.size, (), precision)
        yield MixturePipeline(self, torch.device(device))


def points(std: float = 0.3) -> Mixture:
    """The exact model in two dimensions: eight components on the unit circle, named by the compass."""
    return Mixture(world=Compass(), std=std, size=(1, 1), name="points")


class MixturePipeline(Pipeline):
    """The mixture's optimal denoiser. It computes in float64 and returns the latent's own dtype."""

    def __init__(self, model: Mixture, device: torch.device) -> None:
        self.model, self.device = model, device
        self.levels, self.schedule = model.noise_levels()
        self._means: dict[tuple[int, ...], Tensor] = {}

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return tuple(self.model.world.means(size).shape[1:])

    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        def mask(texts: Sequence[str]) -> Tensor:
            rows = torch.zeros(len(texts), len(self.model.world.words), dtype=torch.bool)
            for row, text in zip(rows, texts, strict=True):
                row[list(self.model.world.allowed(text))] = True
            return rows.to(self.device)

        return mask(prompts), mask([n or "" for n in negative_prompts])

    def __call__(self, x: Tensor, node: Node, *conds: Tensor) -> tuple[Prediction, ...]:
        level = self.levels.node(node.time)  # the noise level that the network assumes
        a, s, v = level.alpha, level.sigma, self.model.std**2
        means = self._flat(x)
        flat = x.double().flatten(1)  # (B, D)
        variance = a * a * v + s * s
        far = (flat * flat).sum(1, keepdim=True) - 2 * a * flat @ means.T + a * a * (means * means).sum(1)
        out = []
        for cond in conds:
            w = (-far / (2 * variance)).masked_fill(~cond, -torch.inf).softmax(1)  # (B, K)
            mean = w @ means
            off = flat - a * mean
            x0 = (mean + a * v / variance * off).reshape(x.shape)
            eps = (s / variance * off).reshape(x.shape)
            out.append(self._predicted(x, node, level, x0.to(x.dtype), eps.to(x.dtype)))
        return tuple(out)

    def _predicted(self, x: Tensor, node: Node, level: Node, x0: Tensor, eps: Tensor) -> Prediction:
        """The prediction, derived from only what a network of this prediction type outputs."""
        if not isinstance(self.levels, Discrete):
            return from_velocity(x, node, eps - x0)
        if self.model.prediction == "eps":
            return from_eps(x, node, eps)
        if self.model.prediction == "x0":
            return from_x0(x, node, x0)
        return from_v(x, node, level.alpha * eps - level.sigma * x0)

    def _flat(self, x: Tensor) -> Tensor:
        """The components' means at the latent's size, (K, D)."""
        size = tuple(x.shape[-2:])
        if size not in self._means:
            self._means[size] = torch.from_numpy(self.model.world.means((size[0], size[1]))).flatten(1).to(self.device)
        return self._means[size]

    def decode(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise ValueError("a 2-D point is no picture; ask for output='latent'")
        pixels = checked(x.float(), "the picture is not finite")
        return ((pixels + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1)

    def encode_image(self, pictures: Tensor) -> Tensor:
        if self.shape((16, 16))[0] != 3:
            raise ValueError("2-D points have no pictures; choose a model of pictures, such as zz.Mixture()")
        return pictures.to(self.device).permute(0, 3, 1, 2) / 127.5 - 1


__all__ = ["Mixture", "MixturePipeline", "points"]
