"""Every text with every seed: what a latent makes of several prompts (Bai et al. 2025, Figures 2 and 11)."""

from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.diffusion.validate import as_tuple, check_count, typed


@dataclass(frozen=True)
class Crossed(PromptSet):
    """Every text with every seed, seed by seed: `dataset=cross dataset.texts='[a cat,a dog]' dataset.seeds=[0,1,2]`.

    texts: one or several
    seeds: of the starting noise; the request's `seed` is added
    """

    texts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    name: str = field(default="cross", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "texts", () if self.texts == "" else as_tuple(self.texts))
        object.__setattr__(self, "seeds", as_tuple(self.seeds))
        for i, text in enumerate(self.texts):
            if not isinstance(text, str):
                remedy = typed("dataset.texts", text, listed=True)
                raise ValueError(f"dataset.texts[{i}]={text!r} must be text; quote it, as {remedy}")
        for i, seed in enumerate(self.seeds):
            check_count(f"dataset.seeds[{i}]", seed)

    def load(self) -> list[Prompt]:
        if not self.texts or not self.seeds:
            raise ValueError("dataset=cross needs texts and seeds: dataset.texts='[a cat,a dog]' dataset.seeds=[0,1,2]")
        return [Prompt(text, {"latent": seed}, seed) for seed in self.seeds for text in self.texts]
