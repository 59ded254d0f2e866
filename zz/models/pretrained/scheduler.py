"""Noise levels and a schedule from the configuration of a diffusers scheduler."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zz.diffusion.levels import Flow, Levels, discrete
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.schedules.multistep import MultistepShifted
from zz.diffusion.schedules.shifted import Shifted, ShiftedBySize
from zz.diffusion.schedules.stretched import Stretched
from zz.diffusion.schedules.timesteps import Timesteps

BENT = {  # of schedulers whose noise levels are not those of their timesteps, and what to choose instead
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "log_uniform",
    "use_beta_sigmas": "leading",
    "use_lu_lambdas": "log_uniform",
}
FLOW_EULER = "FlowMatchEulerDiscreteScheduler"
MULTISTEP: dict[str, Literal["unipc", "dpm_solver"]] = {  # whose flow is known, by diffusers' class
    "DPMSolverMultistepScheduler": "dpm_solver",
    "UniPCMultistepScheduler": "unipc",
}


@dataclass(frozen=True)
class Unwalked(Schedule):
    """A model's own schedule that zz does not have: `why`, and the name of another to choose."""

    why: str
    remedy: str

    def nodes(self, levels: Levels, T: int) -> Nodes:
        raise ValueError(f"schedule=model: {self.why}, which is not supported; choose schedule={self.remedy}")


def from_config(config: Mapping[str, Any], side: int = 16, even: bool = False) -> tuple[Levels, Schedule]:
    """Read a diffusers scheduler config (its dictionary, of any class) as DDIM or flow-Euler would.

    Missing keys take the defaults of diffusers' DDIMScheduler, as `DDIMScheduler.from_config` does.

    side: pixels a side of one token, for a flow whose shift depends on the picture's size
    even: whether a flow's last time before 0 is 1 / T, as in FLUX; otherwise its smallest trained time, as in SD3
    """
    if "FlowMatch" in str(config.get("_class_name", "")):
        return _flow_from_config(config, side, even)
    if config.get("use_flow_sigmas"):
        return _multistep_flow(config)
    levels = discrete(
        N=int(config.get("num_train_timesteps", 1000)),
        beta_schedule=config.get("beta_schedule", "linear"),
        beta_start=float(config.get("beta_start", 0.0001)),
        beta_end=float(config.get("beta_end", 0.02)),
        trained_betas=config.get("trained_betas"),
        zero_terminal_snr=bool(config.get("rescale_betas_zero_snr", False)),
    )
    for name, remedy in BENT.items():
        if config.get(name):
            return levels, Unwalked(f"its scheduler has {name}={config[name]}", remedy)
    spacing = Timesteps(
        spacing=config.get("timestep_spacing", "leading"),
        offset=int(config.get("steps_offset", 0)),
        final="clean" if config.get("set_alpha_to_one", True) else "first",
    )
    return levels, spacing


def _flow_from_config(config: Mapping[str, Any], side: int, even: bool) -> tuple[Levels, Schedule]:
    bent = ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    for name in (*bent, "stochastic_sampling"):
        if config.get(name):
            raise ValueError(f"a flow's scheduler with {name}={config[name]} is not supported; only shifted times are")
    N, shift = int(config.get("num_train_timesteps", 1000)), float(config.get("shift", 1.0))
    spacing: Schedule
    if config.get("use_dynamic_shifting", False):
        spacing = ShiftedBySize(
            mu=(float(config.get("base_shift", 0.5)), float(config.get("max_shift", 1.15))),
            tokens=(int(config.get("base_image_seq_len", 256)), int(config.get("max_image_seq_len", 4096))),
            side=side,
            growth=config.get("time_shift_type", "exponential"),
            last=None if even else 1 / N,
        )
    else:
        lowest = shift / N / (1 + (shift - 1) / N)  # diffusers shifts its already shifted smallest sigma again
        spacing = Shifted(shift, None if even else lowest)
    terminal = config.get("shift_terminal")
    return Flow(N), Stretched(spacing, float(terminal)) if terminal else spacing


def _multistep_flow(config: Mapping[str, Any]) -> tuple[Levels, Schedule]:
    name = str(config.get("_class_name"))
    if name not in MULTISTEP:
        known = ", ".join((FLOW_EULER, *MULTISTEP))
        raise ValueError(f"a flow's scheduler of class {name} is not supported; {known} are")
    bent = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
    for key in (*bent, "use_dynamic_shifting", "shift_terminal"):
        if config.get(key):
            raise ValueError(f"a flow's scheduler with {key}={config[key]} is not supported; only shifted times are")
    if (final := config.get("final_sigmas_type", "zero")) != "zero":
        raise ValueError(f"a flow's scheduler with final_sigmas_type={final} is not supported; only zero is")
    N, shift = int(config.get("num_train_timesteps", 1000)), float(config.get("flow_shift", 1.0))
    return Flow(N), MultistepShifted(shift, MULTISTEP[name])
