"""Solvers: how to go from one node to the next, and back up."""

from zz.diffusion.solvers.base import Past, Solver
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral, EulerAncestralStored
from zz.diffusion.solvers.noisy_inversion import NoisyInversion

__all__ = ["DDIM", "DPMpp2M", "EulerAncestral", "EulerAncestralStored", "NoisyInversion", "Past", "Solver"]
