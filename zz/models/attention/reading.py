"""Reading a network's attention to text during an evaluation, and finding the tokens of a word.

The differences between families of networks are in a `TextAttention`; the rest is the same for all.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import interpolate, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

SCORES = 2**22  # attention scores held at once: 16 MiB, and as much again for their softmax
Columns = dict[str | int, list[int]]  # the text's columns of each word
Maps = dict[str | int, Tensor]  # the map (h, w) of each word
Read = Callable[[Tensor, Tensor, Tensor | None, float | None], None]  # query, key, mask, scale


@dataclass(frozen=True)
class TextAttention:
    """Where the networks of one family attend to the text.

    network:    the name of the network among diffusers' parts
    modules:    a regular expression for the full names of its modules in which the picture attends to the text
    tokenizers: the name of each tokenizer among diffusers' parts, and the text's columns that its tokens occupy
    text:       the text's columns among the keys
    image:      the picture's positions among the queries
    before:     what the tokenizers read before a prompt, of whose tokens the network is shown the first, and the last
                as far as columns reach: diffusers reads len(tokens of it) - 2 more than are columns
    cleaned:    a prompt as the tokenizers read it
    whole_clips: whether all frames of a clip are queries of one row, one after another; otherwise each is a row

    Joint attention with n tokens of text at the end has text=slice(-n, None) and image=slice(None, -n).
    """

    network: str
    modules: str
    tokenizers: Mapping[str, slice]
    text: slice
    image: slice
    before: str = ""
    cleaned: Callable[[str], str] = str
    whole_clips: bool = False

    def skipped(self, tokenizer: Any) -> int:
        """How many tokens of `before` are read and not shown."""
        return max(0, len(tokenizer.encode(self.before)) - 2) if self.before else 0

    def at(self, latent: tuple[int, int]) -> "TextAttention":
        """This in networks at a latent (H, W): most have the text's columns in the same place at any size."""
        return self


# Stable Diffusion 1.x, 2.x and XL. The attn2 of motion modules attends from frame to frame, not to the text.
UNET = TextAttention(
    network="unet",
    modules=r"(.*\.)?attentions\.\d+\.transformer_blocks\.\d+\.attn2",
    tokenizers={"tokenizer": slice(0, None)},
    text=slice(None),
    image=slice(None),
)


@dataclass
class Reading:
    """The maps of one evaluation of a network: a mean over heads, frames and layers, float32.

    where:    where the network attends to the text
    words:    of each prompt; a column behind the longest text has no share
    branch:   the index of the branch to read, of the `branches` that the batch consists of
    latent:   (H, W)
    size:     (h, w) of the maps
    side:     only layers whose grid has this longer side are read; None: all
    frames:   of a clip, that are queries of one row
    """

    where: TextAttention
    words: list[Columns]
    branch: int
    branches: int
    latent: tuple[int, int]
    size: tuple[int, int]
    side: int | None
    frames: int = 1
    sums: list[Tensor] = field(default_factory=list)  # (words, h, w) a prompt
    layers: int = 0
    sides: set[int] = field(default_factory=set)  # of all layers that computed attention

    def __post_init__(self) -> None:
        self.where = self.where.at(self.latent)

    def __call__(self, query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None) -> None:
        """Add a layer. query, key: (batch, heads, tokens, d); the batch is ordered by branch, prompt, frame."""
        if mask is not None:
            mask = self._by_frame(mask.expand(*query.shape[:3], key.shape[2]))
        query, key = self._by_frame(query), key.repeat_interleave(self.frames, dim=0)
        batch, _, queries, _ = query[:, :, self.where.image].shape
        h, w = grid(queries, self.latent)
        self.sides.add(max(h, w))
        if self.side not in (None, max(h, w)):
            return
        self.layers += 1
        frames = batch // (self.branches * len(self.words))
        first = self.branch * len(self.words) * frames
        for b, words in enumerate(self.words):
            begin = first + b * frames
            text = torch.zeros((), device=query.device)
            for row in range(begin, begin + frames):
                text = text + shares(query[row], key[row], None if mask is None else mask[row], scale, self.where)
            text = text / frames
            there = [[c for c in columns if c < text.shape[1]] for columns in words.values()]
            maps = torch.stack([text[:, columns].sum(1) for columns in there]).view(1, -1, h, w)
            resized = interpolate(maps, self.size, mode="bilinear", antialias=True)[0]
            if self.layers == 1:
                self.sums.append(resized)
            else:
                self.sums[b] += resized

    def _by_frame(self, x: Tensor) -> Tensor:
        """(batch, heads, frames * queries, d) as (batch * frames, heads, queries, d)."""
        return x.unflatten(2, (self.frames, -1)).transpose(1, 2).flatten(0, 1)

    def maps(self) -> list[Maps]:
        """One per prompt, on the CPU. Raises ValueError if no layer was read."""
        if not self.layers:
            raise ValueError(f"layers={self.side} is the side of no layer's grid; sides are {sorted(self.sides)}")
        means = [(total / self.layers).cpu() for total in self.sums]
        return [dict(zip(words, mean, strict=True)) for words, mean in zip(self.words, means, strict=True)]


def shares(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None, where: TextAttention = UNET) -> Tensor:
    """The proportion of each position's attention on each token of text: (positions, text), mean over heads, float32.

    query, key: (heads, queries or keys, d)
    mask:       (heads, queries, keys), True for keys that are attended to, or numbers added to the scores

    The softmax is over all keys; at most SCORES scores are in memory at once.
    """
    query = query[:, where.image]
    keys = key.float().mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    at_once = max(1, SCORES // (keys.shape[0] * keys.shape[2]))
    out = []
    for start in range(0, query.shape[1], at_once):
        part = slice(start, start + at_once)
        scores = query[:, part].float() @ keys
        if mask is not None:
            seen = mask[:, where.image][:, part]
            scores = scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
        out.append(scores.softmax(-1)[..., where.text].mean(0))
    return torch.cat(out)


def grid(positions: int, latent: tuple[int, int]) -> tuple[int, int]:
    """The grid (h, w) with this number of positions, from a latent (H, W) by repeated halving (rounded up)."""
    h, w = latent
    while h * w > positions > 0:
        h, w = -(-h // 2), -(-w // 2)
    if h * w != positions:
        raise ValueError(f"{positions} places are no halving of a latent of {latent[0]}x{latent[1]}")
    return h, w


def layers(network: Module) -> dict[str, Module]:
    """Its modules by name, as if none were compiled: torch.compile puts a module around another."""
    inner = ((name, module) for name, module in network.named_modules() if not hasattr(module, "_orig_mod"))
    return {name.replace("_orig_mod.", ""): module for name, module in inner}


def unseen(modules: Iterable[Module], seen: Collection[Module]) -> str:
    """What to say of modules whose attention was not seen; "" where it was seen of all."""
    missed = [module for module in modules if module not in seen]
    if not missed:
        return ""
    kinds = sorted({type(getattr(module, "processor", module)).__name__ for module in missed})
    return (
        f"no attention was seen of {len(missed)} layers with {', '.join(kinds)}; give the network diffusers' default "
        "attention processors (set_default_attn_processor, and no slicing)"
    )


@contextmanager
def watched(modules: Iterable[Module], read: Read) -> Iterator[None]:
    """Call `read` with every attention that one of the modules computes, without changing the computation."""

    modules, seen = list(modules), set[Module]()

    def beside(module: Module, call: Call) -> Tensor:
        seen.add(module)
        out = call.out()
        if call.is_causal or call.enable_gqa:
            raise ValueError("causal and grouped attention are not text attention as it is read here")
        with torch.no_grad():
            read(call.query, call.key, call.attn_mask, call.scale)
        return out

    with instead(modules, beside):
        yield
    if missed := unseen(modules, seen):
        raise ValueError(missed)


class Call(NamedTuple):
    """A call of scaled_dot_product_attention: its arguments by their names in torch."""

    query: Tensor  # (batch, heads, queries, d)
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    def out(self) -> Tensor:
        """Its return value."""
        return scaled_dot_product_attention(**self._asdict())


@contextmanager
def instead(modules: Iterable[Module], attend: Callable[[Module, Call], Tensor]) -> Iterator[None]:
    """Replace the result of every attention that one of the modules computes by that of `attend`."""
    inside: list[Module] = []

    def enter(module: Module, _: Any) -> None:
        inside.append(module)

    def leave(module: Module, _: Any, __: Any) -> None:  # no expression: its value would replace the output
        inside.pop()

    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code calls no hooks
        for module in modules:
            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        stack.enter_context(_Instead(inside, attend))
        yield


class _Instead(TorchFunctionMode):
    """Replaces the calls of scaled_dot_product_attention inside the modules."""

    def __init__(self, inside: list[Module], attend: Callable[[Module, Call], Tensor]) -> None:
        super().__init__()
        self.inside, self.attend = inside, attend

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention and self.inside:  # the mode is off in here
            return self.attend(self.inside[-1], Call(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def columns(
    tokenizer: Any, prompt: str, word: str | int, length: int | None = None, where: TextAttention = UNET
) -> list[int]:
    """The columns of a word's tokens, of all its occurrences in the prompt. Raises ValueError if it has none.

    tokenizer: a fast one of transformers, which has the offsets of its tokens in the text
    length:    how many tokens of a text are read; None: the tokenizer's model_max_length
    where:     what the tokenizer reads before the prompt, and how it is cleaned
    """
    length = tokenizer.model_max_length if length is None else length
    if isinstance(word, int):
        if not 0 <= word < length:
            raise ValueError(f"words={word} is no token's column; columns are 0..{length - 1}")
        return [word]
    prompt, skipped, first = where.cleaned(prompt), where.skipped(tokenizer), len(where.before)
    spans = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE) if word]
    if not spans:
        there = ", ".join(dict.fromkeys(re.findall(r"\w+", prompt)))
        raise ValueError(f"words={word!r} is not in the prompt {prompt!r}; its words are {there}")
    whole, most = where.before + prompt, length + skipped
    tokens = tokenizer(whole, truncation=True, max_length=most, return_offsets_mapping=True)["offset_mapping"]
    spans = [(start + first, end + first) for start, end in spans]
    found = [
        c - skipped for c, (a, b) in enumerate(tokens) if a < b and any(a < end and b > start for start, end in spans)
    ]
    if not found:
        raise ValueError(f"words={word!r} stands beyond the {len(tokens) - skipped} tokens that are read of {prompt!r}")
    return found


__all__ = [
    *("UNET", "Call", "Columns", "Maps", "Reading", "TextAttention"),
    *("columns", "grid", "instead", "layers", "shares", "unseen", "watched"),
]
