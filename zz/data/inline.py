"""Prompts written on the command line or in Python."""

from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.diffusion.validate import as_tuple, typed


@dataclass(frozen=True)
class Inline(PromptSet):
    """Prompts written on the command line or in Python: `dataset=inline dataset.texts='[a red circle]'`.

    texts: one or several
    """

    texts: tuple[str, ...] = ()
    name: str = field(default="inline", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "texts", () if self.texts == "" else as_tuple(self.texts))
        for i, text in enumerate(self.texts):
            if not isinstance(text, str):
                remedy = typed("dataset.texts", text, listed=True)
                raise ValueError(f"dataset.texts[{i}]={text!r} must be text; quote it, as {remedy}")

    def load(self) -> list[Prompt]:
        if not self.texts:
            raise ValueError("dataset=inline needs prompts: dataset.texts='[a red circle,a blue star]'")
        return [Prompt(text) for text in self.texts]
