"""NPNet, the network of Golden Noise (Zhou et al., 2025, arXiv:2411.09502): a starting noise to a better one.

golden = S(x) + (2 sigmoid(alpha) - 1) T + beta E(x + T), of a noise x and the tokens of its prompt, where

S: x as a matrix, with other singular values: they are predicted from its singular vectors and values
T: x normalised, with a scale and a shift that are predicted from the tokens
E: a Swin transformer

Modules and their names are those of the published checkpoints; the Swin transformer's are transformers', into which
timm's are translated. It knows latents of one size only. Signs of singular vectors are the device's linear algebra's,
and S depends on them: a GPU and a CPU may make different noises of one.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, interpolate, scaled_dot_product_attention

from zz.models.pretrained.quiet import quiet

SHAPE = 4, 128, 128  # of the latents
TOKENS = 77  # of a prompt
SIDE = 256  # of the matrix that the four channels make
PICTURE = 224, 224  # what the Swin transformer reads
GRID = 7, 7, 768  # what it makes of that
SWIN: dict[str, Any] = {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}
PARTS = "unet_svd", "unet_embedding", "embedding", "alpha", "beta"  # of a checkpoint
MISSPELT = "embeeding"  # as the published ones have it
UNUSED = re.compile(r"bn\.|swin\.head\.")  # parameters that a checkpoint may hold


class Attention(nn.Module):
    """Self-attention of 8 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(SIDE, 3 * SIDE, bias=False)
        self.proj = nn.Linear(SIDE, SIDE)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, 256) to the same."""
        q, k, v = self.qkv(x).unflatten(-1, (3, 8, -1)).permute(2, 0, 3, 1, 4)  # (B, 8, n, 32) each
        return self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class SVDNoise(nn.Module):
    """S."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp1, self.mlp2, self.mlp4 = (
            nn.Sequential(nn.Linear(SIDE, width), nn.ReLU(), nn.Linear(width, SIDE)) for width in (64, 64, 1024)
        )
        self.mlp3 = nn.Sequential(nn.Linear(SIDE, SIDE))
        self.attention = Attention()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, 128, 128) to the same."""
        tiles = x.unflatten(1, (2, 2)).transpose(2, 3)  # (B, row, h, column, w)
        matrix = tiles.reshape(-1, SIDE, SIDE)
        parts = [torch.linalg.svd(one) for one in matrix]  # one by one: no picture's signs depend on its batch
        U, s, Vh = (torch.stack(part) for part in zip(*parts, strict=True))
        read = self.mlp1(U.mT) + self.mlp2(Vh) + self.mlp3(s)[:, None]
        s = s + self.mlp4(self.attention(read).mean(1))
        return (U * s[:, None] @ Vh).view_as(tiles).transpose(2, 3).reshape(x.shape)


class TextNorm(nn.Module):
    """T, diffusers' AdaGroupNorm with one group.

    width: of a token
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(TOKENS * width, 2 * SHAPE[0])

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """(B, 4, 128, 128) and (B, 77, width) to (B, 4, 128, 128)."""
        scale, shift = self.linear(tokens.flatten(1))[..., None, None].chunk(2, dim=1)
        return group_norm(x, 1, eps=1e-6) * (1 + scale) + shift


class SwinNoise(nn.Module):
    """E, whose `swin` is set once its weights are read."""

    swin: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.downconv = nn.Conv2d(SHAPE[0], 3, 1)
        self.upconv = nn.Conv2d(GRID[0], SHAPE[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, 128, 128) to the same."""
        features = self.swin(self.downconv(interpolate(x, PICTURE))).last_hidden_state
        rows = features.unflatten(1, GRID[:2])  # (B, 7, 7, 768), read as channels, h and w, as in the authors' code
        return self.upconv(interpolate(rows, SHAPE[1:]))


class NPNet(nn.Module):
    """width: of a token"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unet_svd, self.unet_embedding, self.embedding = SVDNoise(), SwinNoise(), TextNorm(width)
        self.alpha, self.beta = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, noise: Tensor, tokens: Tensor) -> Tensor:
        """(B, 4, 128, 128) and (B, 77, width) to (B, 4, 128, 128), float32. Raises ValueError on other shapes."""
        width = self.embedding.linear.in_features // TOKENS
        if noise.shape[1:] != SHAPE:
            found, needed = ("x".join(map(str, shape)) for shape in (noise.shape[1:], SHAPE))
            raise ValueError(
                f"model.npnet maps noise of {needed}, not of {found}: choose the size that has it, 1024x1024 on an "
                "autoencoder that divides sides by 8, or model.npnet=null"
            )
        if tokens.shape[1:] != (TOKENS, width):
            raise ValueError(
                f"model.npnet reads {TOKENS} tokens of width {width}, but this model's text has "
                f"{tokens.shape[1]} of width {tokens.shape[2]}: choose model.npnet=null"
            )
        x = noise.float()
        T = self.embedding(x, tokens.float())
        return self.unet_svd(x) + (2 * self.alpha.sigmoid() - 1) * T + self.beta * self.unet_embedding(x + T)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's parts by name. Raises ValueError, with what is wrong, unless it is one."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # any that the unpickler raises
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"it is no file of weights that torch reads ({line})") from error
    if not isinstance(whole, Mapping):
        raise ValueError(f"it holds a {type(whole).__name__}, not a dict of {', '.join(PARTS)}")
    found = {("embedding" if name == MISSPELT else name): part for name, part in whole.items()}
    if missing := [name for name in PARTS if name not in found]:
        raise ValueError(f"it has no {', '.join(missing)}; what it has: {', '.join(map(str, list(whole)[:8]))}")
    for name in PARTS[:3]:
        if not isinstance(part := found[name], Mapping) or not all(isinstance(v, Tensor) for v in part.values()):
            raise ValueError(f"its {name} is no dict of tensors")
    return found


def check_width(parts: Mapping[str, Any], width: int) -> None:
    """Raise ValueError unless a checkpoint reads tokens of this width."""
    weight = parts["embedding"].get("linear.weight")
    if weight is None or weight.ndim != 2 or weight.shape[1] != TOKENS * width:
        found = "unknown width" if weight is None else f"width {weight.shape[-1] / TOKENS:g}"
        raise ValueError(f"it reads tokens of {found}, but this model's text has {width}")


def load(path: Path, width: int) -> NPNet:
    """A checkpoint as a network for tokens of this width, by a strict load.

    Raises ValueError, with what is wrong, where it does not fit.
    """
    parts = read(path)
    check_width(parts, width)
    with torch.device("meta"):  # no numbers are drawn
        net = NPNet(width)
    states = {name: {k: v.float().clone() for k, v in parts[name].items()} for name in PARTS[:3]}
    states["unet_svd"], noise = (
        {k: v for k, v in states[name].items() if not UNUSED.match(k)} for name in ("unet_svd", "unet_embedding")
    )
    swin = {k.removeprefix("swin."): v for k, v in noise.items() if k.startswith("swin.")}
    states["unet_embedding"] = {k: v for k, v in noise.items() if not k.startswith("swin.")}
    try:
        for name, state in states.items():
            getattr(net, name).load_state_dict(state, assign=True)
        scalars = {name: parts[name].detach().float().reshape(1) for name in PARTS[3:]}
        net.load_state_dict(net.state_dict() | scalars, assign=True)
        net.unet_embedding.swin = _swin(swin)
    except Exception as error:  # any that torch and transformers raise
        line = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"it does not fit the network: {line[:300]}") from error
    return net.eval().requires_grad_(False)


def _swin(state: Mapping[str, Tensor]) -> nn.Module:
    """swin_tiny_patch4_window7_224 with timm's weights. Raises ValueError if any are missing or too many."""
    with quiet():
        from transformers import SwinConfig, SwinModel

        both: Any = SwinModel.from_pretrained(
            None,
            config=SwinConfig(**SWIN),
            state_dict=on_hub(state),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and refused below
        )
    model, told = both
    wrong = {key: sorted(map(str, told[f"{key}_keys"]))[:3] for key in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        raise ValueError("; ".join(f"swin: {key} {', '.join(names)}" for key, names in wrong.items() if names))
    return model


RENAMED = {  # timm's names in the layout of the hub's Swin transformers, which every version of transformers reads
    r"^layers\.": "encoder.layers.",
    r"^norm\.": "layernorm.",
    r"^patch_embed\.proj\.": "embeddings.patch_embeddings.projection.",
    r"^patch_embed\.norm\.": "embeddings.norm.",
    r"\.norm1\.": ".layernorm_before.",
    r"\.norm2\.": ".layernorm_after.",
    r"\.attn\.proj\.": ".attention.output.dense.",
    r"\.attn\.": ".attention.self.",
    r"\.mlp\.fc1\.": ".intermediate.dense.",
    r"\.mlp\.fc2\.": ".output.dense.",
}


def on_hub(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of timm's Swin transformer, as of 0.9, in the layout of the hub's.

    A layer that timm puts at the beginning of a stage, merging patches, is there at the end of the one before.
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        key = re.sub(r"^layers\.(\d+)\.downsample\.", lambda at: f"layers.{int(at[1]) - 1}.downsample.", name)
        for timm, hub in RENAMED.items():
            key = re.sub(timm, hub, key)
        if ".qkv." in key:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            found |= {key.replace(".qkv.", f".{part}."): chunk.clone() for part, chunk in parts}
        else:
            found[key] = value
    return found


__all__ = ["NPNet", "check_width", "load", "on_hub", "read"]
