"""Prompts written on the command line or in Python."""

from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet


@dataclass(frozen=True)
class Inline(PromptSet):
    """Prompts written on the command line or in Python: `dataset=inline dataset.texts='[a red circle]'`."""

    texts: tuple[str, ...] = ()
    name: str = field(default="inline", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "texts", tuple(str(t) for t in self.texts))

    def load(self) -> list[Prompt]:
        if not self.texts:
            raise ValueError("dataset=inline needs prompts: dataset.texts='[a red circle,a blue star]'")
        return [Prompt(t) for t in self.texts]
