"""Any guider of the installed diffusers as a guidance: its own arithmetic and hooks, on networks and samplers of zz.

A guider says which predictions it wants, changes the network before each of them (or not), and mixes what it is given.
It is made anew for each trajectory and leg, told the step that a move belongs to, and given `gamma` as its scale. What
it mixes is `output`, one kind of output for all networks, where diffusers takes whatever the network predicts.
"""

import importlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import OutOfMemoryError, Tensor

from zz.diffusion.guidance.altered import Altered, Inside
from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Denoiser, Guided
from zz.diffusion.outputs import Output, check_output, from_output, output
from zz.diffusion.prediction import Gamma, Prediction, unprompted
from zz.diffusion.schedule import Node, Nodes
from zz.models.pretrained.quiet import quiet

GIVEN = ("guidance_scale", "enabled", "use_original_formulation")  # what is not an option
BASE = "BaseGuidance"  # of all guiders
CONDITION = "condition"  # the field of a guider's batches that holds one


@dataclass(frozen=True)
class Guider(Guidance):
    """At gamma = 0 it is the unconditional prediction, at every other what the guider makes of it.

    guider:  the name of the class in diffusers.guiders, such as AdaptiveProjectedGuidance
    options: its arguments but the scale, by their names in diffusers; kept as JSON
    output:  what it mixes; eps and velocity are what most networks predict
    zag:     whether it is there on the way up too; else that is classifier-free guidance
    """

    guider: str = "ClassifierFreeGuidance"
    options: Any = "{}"
    output: Output = "eps"
    zag: bool = True
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "options", _written(self.options))
        try:
            self.made(2.0).prepare_inputs({CONDITION: (None, None)})
        except IndexError:
            raise ValueError(
                f"guidance.options={self.options}: {self.guider} then wants predictions that only its own pipeline can "
                "make; leave them out"
            ) from None

    @property
    def needs(self) -> Needs:
        return Needs(inside=self._hooks)

    def check_nodes(self, nodes: Sequence[Node]) -> None:
        check_output(self.output, nodes)

    def for_nodes(self, nodes: Nodes) -> "Guidance":
        return _Placed(self.guider, self.options, self.output, self.zag, nodes)

    def bind(self, net: Denoiser, cond: Any, uncond: Any) -> Guided:
        cfg, mine = CFG().bind(net, cond, uncond), dict[Leg, Any]()

        def guided(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
            if unprompted(gamma) or not self._on(leg):
                return cfg(x, node, gamma, leg)
            check_scale(gamma, self.guider)
            if leg not in mine:
                mine[leg] = self.made(gamma)
            guider = mine[leg]
            guider.guidance_scale = gamma
            self._tell(guider, node, leg)
            batches = guider.prepare_inputs({CONDITION: (cond, uncond)})
            conds = [getattr(batch, CONDITION) for batch in batches]
            if self._hooks:
                conds = [Altered(one, hooked(guider)) for one in conds]
            for batch, said in zip(batches, net(x, node, *conds), strict=True):
                batch.noise_pred = output(said, node, self.output)
            try:
                mixed = guider(batches).pred
            except OutOfMemoryError:
                raise
            except RuntimeError as error:
                raise ValueError(
                    f"guidance.guider={self.guider} cannot mix predictions of shape {tuple(x.shape)} ({error}); choose "
                    "another guidance"
                ) from error
            return from_output(x, node, mixed, self.output)

        return Guided(guided, cfg.look)

    def evals(self, gamma: Gamma, node: Node, leg: Leg) -> int:
        if unprompted(gamma) or not self._on(leg):
            return CFG().evals(gamma, node, leg)
        guider = self.made(gamma)
        self._tell(guider, node, leg)
        return guider.num_conditions

    @property
    def affine(self) -> bool:
        return False  # of most it is not known

    @property
    def remembers(self) -> bool:
        return True  # some have momentum; none says so

    def made(self, gamma: Gamma) -> Any:
        """The guider, at this scale. Raises ValueError, with the field, where diffusers refuses it."""
        known = guiders()
        check_scale(gamma, self.guider)
        if self.guider not in known:
            raise ValueError(f"guidance.guider={self.guider} is not in the installed diffusers: {', '.join(known)}")
        kind, options = known[self.guider], json.loads(self.options)
        arguments = inspect.signature(kind.__init__).parameters
        if "guidance_scale" not in arguments:
            raise ValueError(f"guidance.guider={self.guider} has no single scale for gamma; choose guidance=fdg")
        takes = [name for name in arguments if name not in ("self", *GIVEN)]
        if unknown := [name for name in options if name not in takes]:
            raise ValueError(
                f"guidance.options.{unknown[0]}: {self.guider} has no such option; it takes {', '.join(takes)}"
            )
        try:
            with quiet():
                return kind(guidance_scale=gamma, **options)
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"guidance.options={self.options} of guidance.guider={self.guider}: {error}") from error

    @property
    def _hooks(self) -> bool:
        """Whether it changes the network."""
        kind = guiders()[self.guider]
        return any("prepare_models" in vars(one) for one in kind.__mro__ if one.__name__ != BASE)

    def _on(self, leg: Leg) -> bool:
        return self.zag or leg is not Leg.ZAG

    def _tell(self, guider: Any, node: Node, leg: Leg) -> None:
        """Tell it the step. Without nodes it knows none, and is on everywhere."""
        guider._count_prepared = 0


@dataclass(frozen=True)
class _Placed(Guider):
    """On these nodes."""

    nodes: Nodes | None = None

    def _tell(self, guider: Any, node: Node, leg: Leg) -> None:
        assert self.nodes is not None
        guider.set_state(self.nodes.step(node, leg is Leg.ZAG), self.nodes.T, node.time)


@cache
def guiders() -> Mapping[str, Any]:
    """The classes of the installed diffusers, by name."""
    module = importlib.import_module("diffusers.guiders")
    base = getattr(module, BASE)
    found = {name: one for name, one in vars(module).items() if inspect.isclass(one) and issubclass(one, base)}
    return {name: one for name, one in sorted(found.items()) if one is not base}


def check_scale(gamma: Gamma, name: str) -> None:
    """Raise ValueError on a scale for each picture, of which guiders know nothing."""
    if isinstance(gamma, Tensor):
        raise ValueError(f"guidance=guider has one scale for all pictures; {name} takes none for each")


def hooked(guider: Any) -> Any:
    """What changes a network as the guider does before a prediction, and undoes it after.

    Raises ValueError where its hooks do not fit the network, or would do nothing.
    """

    @contextmanager
    def altered(inside: Inside) -> Iterator[None]:
        where, before = f"{type(guider).__name__} in a {type(inside.module).__name__}", guider._count_prepared
        try:
            guider.prepare_models(inside.module)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"guidance.options: {where}: {error}") from error
        if guider._count_prepared == before:
            raise ValueError(
                f"guidance.guider={type(guider).__name__} of the installed diffusers does not count its predictions, "
                "and so never changes the network; choose guidance=seg, pag or slg"
            )
        try:
            with torch.compiler.set_stance("force_eager"):  # compiled code calls no hooks
                yield
        except OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ValueError(
                f"guidance.guider: what {where} puts in place of a block does not fit its network ({error}); choose "
                "guidance=slg or pag, or other options"
            ) from error
        finally:
            guider.cleanup_models(inside.module)

    return altered


def _written(options: Any) -> str:
    """Options as JSON. Raises ValueError where they are no mapping of plain values."""
    try:
        read = json.loads(options) if isinstance(options, str) else options
        if isinstance(read, Mapping):
            return json.dumps(read, sort_keys=True, default=_listed)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"guidance.options={options!r} must be a mapping of plain values, such as {{eta: 0.5}}")


def _listed(value: Any) -> Any:
    """A configuration's mappings and lists as plain ones."""
    return dict(value) if isinstance(value, Mapping) else list(value)


__all__ = ["Guider", "guiders"]
