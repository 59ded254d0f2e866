"""Conditions with a tap, in a U-Net of diffusers: a tap reads its own condition's attentions and may replace them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import Module

from zz.diffusion.guidance.attention.tap import Attention, Tapped
from zz.diffusion.guidance.base import ScaledCond
from zz.models.attention.reading import Call, grid, instead, layers, unseen

# Not those of motion modules, which attend from frame to frame.
NAME = re.compile(r"(down|mid|up)_blocks?\.(?:\d+\.)?attentions\.\d+\.transformer_blocks\.\d+\.attn[12]")


def untapped(cond: Any) -> Any:
    """The condition without its tap."""
    return cond.cond if isinstance(cond, Tapped) else cond


def plain(cond: Any) -> Any:
    """The condition itself, without its tap or guidance scale."""
    return cond.cond if isinstance(cond, Tapped | ScaledCond) else cond


@contextmanager
def tapped(unet: Module, conds: Sequence[Any], latent: tuple[int, int]) -> Iterator[None]:
    """Apply the taps of conditions to an evaluation whose batch is ordered by condition, prompt, frame.

    The network's own kernels compute all rows; only those of conditions with a tap may be replaced afterwards.
    """
    wanted = [(branch, cond) for branch, cond in enumerate(conds) if isinstance(cond, Tapped)]
    if not wanted:
        yield
        return
    taps: dict[Module, list[tuple[int, Tapped]]] = {}
    for name, module in layers(unet).items():
        if match := NAME.fullmatch(name):
            mine = [(b, c) for b, c in wanted if c.blocks in ("all", match[1]) and _kind(module) in c.to]
            if mine:
                taps[module] = mine
    if not taps:
        raise ValueError(f"guidance.blocks={wanted[0][1].blocks}: the network has no such attention there; choose all")
    seen = set[Module]()

    def attend(module: Module, call: Call) -> Tensor:
        seen.add(module)
        out = call.out()
        if call.is_causal or call.enable_gqa:
            raise ValueError("causal and grouped attention cannot be tapped")
        for branch, cond in taps[module]:
            n = len(out) // len(conds)
            batch = slice(branch * n, branch * n + n)
            mask = call.attn_mask if call.attn_mask is None or len(call.attn_mask) == 1 else call.attn_mask[batch]
            query, key, value = call.query[batch], call.key[batch], call.value[batch]
            shown = Attention(_kind(module), grid(query.shape[2], latent), query, key, value, mask, call.scale)
            if (instead_of_it := cond.tap(shown)) is not None:
                out[batch] = instead_of_it
        return out

    with instead(taps, attend):
        yield
    if missed := unseen(taps, seen):
        raise ValueError(missed)


def _kind(module: Any) -> Any:
    return "text" if module.is_cross_attention else "self"


__all__ = ["plain", "tapped", "untapped"]
