"""Classifier-free guidance (Ho & Salimans 2022), written u + gamma * (c - u)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.network import Branches, Guided
from zz.diffusion.outputs import from_output, output
from zz.diffusion.prediction import Prediction, one_branch
from zz.diffusion.validate import Proportion


@dataclass(frozen=True)
class CFG(Guidance):
    """Classifier-free guidance. It asks only for the branches that gamma needs: 0 and 1 need one, not two.

    rescale:    phi of Lin et al. 2024 (Eqs. 14-16), in [0, 1]: how far the guided output is pulled back
                to the standard deviation of the conditional one; 0 is plain guidance
    rescale_on: the output that is rescaled: eps, v or x0. diffusers rescales whatever its network predicts.
    """

    rescale: Proportion = 0.0
    rescale_on: Literal["eps", "v", "x0"] = "eps"
    version: ClassVar[int] = 1

    def check_nodes(self, nodes):
        flow = any(abs(node.alpha**2 + node.sigma**2 - 1) > 1e-6 for node in nodes)
        if self.rescale and self.rescale_on == "v" and flow:
            raise ValueError(
                "guidance.rescale_on=v is of networks that say v; on a rectified flow choose guidance.rescale_on=x0"
            )

    def bind(self, net, cond, uncond):
        def guided(x, node, gamma, leg):
            if one_branch(gamma):
                (only,) = net(x, node, cond if gamma == 1 else uncond)
                return only
            u, c = net(x, node, uncond, cond)
            mixed = u.lerp(c, gamma)
            return self._rescaled(x, node, mixed, c) if self.rescale else mixed

        def look(x, node, leg):
            return Branches(*net(x, node, uncond, cond))

        return Guided(guided, look)

    def evals(self, gamma, node, leg):
        return 1 if one_branch(gamma) else 2

    @property
    def affine(self):
        return self.rescale == 0

    def _rescaled(self, x: Tensor, node, mixed: Prediction, cond: Prediction) -> Prediction:
        said, wanted = (output(one, node, self.rescale_on) for one in (mixed, cond))
        over = tuple(range(1, x.ndim))  # per image
        spread = said.std(over, keepdim=True)
        factor = torch.where(spread > 0, wanted.std(over, keepdim=True) / spread, 1.0)
        self.check_nodes([node])
        plain = node._replace(v_at=None)  # mixed and cond are read where the latent is
        return from_output(x, plain, said * (self.rescale * factor + 1 - self.rescale), self.rescale_on)
