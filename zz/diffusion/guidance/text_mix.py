"""Texts of two strengths, for the two ways of a reflection (Reflective flow sampling, 2026, arXiv:2603.06165).

With e the tokens of a text and n those of the negative prompt, the network is given, on the way down within a
reflection and on the way up,

    e + high ((1 - share_high) e + share_high n)      e + low ((1 - share_low) e + share_low n)

and e itself in the steps. Pooled vectors are left alone. Both branches are so mixed, as in their code
(xie-lab-ml/FreeLunchInference, commit fcee0f8), where n turns out to be the prompt's own e: `empty=prompt`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from torch import Tensor

from zz.diffusion.guidance.around import Around
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.validate import READING, Proportion


@dataclass(frozen=True)
class TextMix(Around):
    """Another guidance, of other texts in the legs of a reflection. It reads encoded prompts, (B, tokens, width).

    inner:                 the guidance
    high, low:             the weights: 9 and -1 for FLUX.1-lite and Stable Diffusion 3.5, 3.5 and 0 for FLUX.1-dev
    share_high, share_low: what part of them is of the negative prompt
    empty:                 what stands for n: uncond, or the prompt itself, as in their code
    """

    inner: Guidance = field(default_factory=CFG)
    high: float = 9.0
    low: float = -1.0
    share_high: Proportion = 0.3
    share_low: Proportion = 0.7
    empty: Literal["uncond", "prompt"] = field(default="uncond", metadata=READING)
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return replace(self.inner.needs, tokens=True)

    def asked(self, legs):
        return super().asked(legs) if {Leg.STRONG, Leg.ZAG} & set(legs) else self.inner.asked(legs)

    def bind(self, net, cond, uncond):
        null = uncond if self.empty == "uncond" else cond
        own = self.inner.bind(net, cond, uncond)
        by_leg = {
            leg: self.inner.bind(net, *(mixed(text, null, weight, share) for text in (cond, uncond)))
            for leg, weight, share in (
                (Leg.STRONG, self.high, self.share_high),
                (Leg.ZAG, self.low, self.share_low),
            )
        }

        def guided(x, node, gamma, leg):
            return by_leg.get(leg, own)(x, node, gamma, leg)

        return Guided(guided, own.look)

    @property
    def by_leg(self):
        return True


def mixed(text: Any, null: Any, weight: float, share: float) -> Any:
    """The tokens of a text with so much more of it and of the null text: a tensor, or a tuple of tensors."""
    if not isinstance(text, Tensor):
        return type(text)(*(mixed(one, none, weight, share) for one, none in zip(text, null, strict=True)))
    return text if text.ndim == 2 else text + weight * text.lerp(null, share)  # (B, width): pooled


__all__ = ["TextMix", "mixed"]
