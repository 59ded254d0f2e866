"""What guidance changes inside a diffusers network: whole transformer blocks left out, or given something else."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import Module, ModuleList

from zz.diffusion.guidance.altered import Feed

STACKS = ("transformer_blocks", "blocks", "layers", "single_transformer_blocks")  # a second stack goes on counting
UNET = re.compile(r"(down|mid|up)_blocks?\.(?:\d+\.)?attentions\.\d+\.transformer_blocks\.\d+")


class Inside:
    """A network of diffusers, opened for change.

    module: the network
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    @contextmanager
    def skipping(self, layers: Sequence[int]) -> Iterator[None]:
        blocks = self._blocks()
        if not blocks:
            raise ValueError(
                f"guidance.layers={list(layers)}: a {type(self.module).__name__} is no stack of transformer blocks; "
                "choose guidance=pag or guidance=seg"
            )
        if (worst := max(layers)) >= len(blocks):
            raise ValueError(
                f"guidance.layers={list(layers)}: a {type(self.module).__name__} of {len(blocks)} blocks has none of "
                f"index {worst}; choose from 0..{len(blocks) - 1}"
            )
        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(_instead(blocks[layer], _untouched(blocks[layer])))
            yield

    @contextmanager
    def feeding(self, other: Feed, blocks: str, first: int) -> Iterator[None]:
        found = [(match[1], one) for name, one in self.module.named_modules() if (match := UNET.fullmatch(name))]
        there = [one for part, one in found if blocks in ("all", part)]
        if first >= len(there):
            raise ValueError(
                f"guidance.first={first}: a {type(self.module).__name__} has {len(there)} transformer blocks in "
                f"blocks={blocks}" + (f"; choose from 0..{len(there) - 1}" if there else "; choose others")
            )
        with ExitStack() as stack:
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code calls no hooks
            for index, one in enumerate(there[first:], first):
                hook = one.register_forward_pre_hook(lambda _, args, index=index: (other(args[0], index), *args[1:]))
                stack.callback(hook.remove)
            yield

    def _blocks(self) -> list[Module]:
        """Its transformer blocks in the order in which they are run."""
        stacks = [stack for name in STACKS if isinstance(stack := getattr(self.module, name, None), ModuleList)]
        return [block for stack in stacks for block in stack]


@contextmanager
def _instead(block: Module, forward: Callable[..., Any]) -> Iterator[None]:
    """With another function in place of a block's own."""
    own = block.__dict__.get("forward")  # what an offloading hook has put there
    block.forward = forward
    try:
        yield
    finally:
        del block.forward
        if own is not None:
            block.forward = own


def _untouched(block: Module) -> Callable[..., Any]:
    """A function that gives back what the block reads, in the order in which it would have answered."""
    from diffusers.hooks._helpers import TransformerBlockRegistry

    signature = inspect.signature(type(block).forward)
    try:
        known = TransformerBlockRegistry.get(type(block))
    except ValueError:  # one that answers with the picture's part alone
        known = None

    def forward(*args: Any, **kwargs: Any) -> Any:
        read = signature.bind(block, *args, **kwargs).arguments
        if known is None or known.return_encoder_hidden_states_index is None:
            return next(v for name, v in list(read.items())[1:])
        picture, text = read[known.hidden_states_argument_name], read[known.encoder_hidden_states_argument_name]
        return (picture, text) if known.return_hidden_states_index == 0 else (text, picture)

    return forward
