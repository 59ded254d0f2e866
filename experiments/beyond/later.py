"""What came after zigzag, beside it at equal network evaluations, each method at its own best scale, with the controls.

The scale of each is the best of a grid on other prompts: `experiment=later_tuning`, whose page names it, and
later_best.yaml keeps it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from zz.analysis.pages.later import CLAIM, view
from zz.lab.experiment import Experiment, Layout

COMMON = "scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,cleanliness]"
CONTROLS = "controls=[standard,guidance_matched,compute_matched_predictions,compute_matched_evals,e_cfg]"
CFG = tuple(f"gamma1={gamma:g}" for gamma in (1.5, 2, 3, 4, 6))
WIDE = (*CFG, "gamma1=8", "gamma1=12")  # of methods that temper guidance, or add to it
WIDER = (*WIDE, "gamma1=16", "gamma1=24")
PLUS = tuple(f"gamma1={gamma:g}" for gamma in (0.2, 0.4, 0.6, 0.8, 1))
BACK = tuple(f"gamma1={gamma:g}" for gamma in (1, 1.5, 2, 3, 4))  # of methods that go there and back
FORESIGHT = tuple(f"gamma1={gamma:g} sampler.scale={scale:g}" for gamma in (1.5, 3, 5.5) for scale in (0.3, 0.6, 1))


SETTINGS = {  # model and most evaluations a picture -> which of `steps`
    "shapes, 40": 0,
    "shapes, 100": 1,
    "shapes_flow, 40": 0,
    "shapes_dpo, 40": 0,  # tuned from `shapes`, which is its weak network
}
BOTH = ("shapes", "shapes_flow")
UNET, FLOW, TUNED = ("shapes",), ("shapes_flow",), ("shapes_dpo",)


class Method(NamedTuple):
    """One method.

    words:  overrides
    steps:  the most steps that its evaluations leave, at 40 a picture and at 100
    scales: what is tried
    of:     the models
    flow:   overrides on the flow
    """

    words: str
    steps: tuple[int, int]
    scales: tuple[str, ...]
    of: tuple[str, ...] = BOTH
    flow: str = ""


METHODS = {
    "CFG": Method("sampler=standard", (20, 50), CFG, of=BOTH + TUNED),
    "CFG++": Method("sampler=standard guidance=cfgpp", (20, 50), PLUS),
    "CFG x 2": Method("sampler=repeated", (10, 25), CFG),
    "CFG++ x 2": Method(
        "sampler=repeated sampler.final=cfgpp", (10, 25), tuple(f"sampler.scale={s:g}" for s in (0.2, 0.4, 0.6, 0.8, 1))
    ),
    "resampling": Method("sampler=resampling", (10, 25), CFG),
    "zigzag": Method("sampler=zigzag", (8, 20), BACK, of=BOTH + TUNED),
    "zigzag, CFG++": Method("sampler=zigzag guidance=cfgpp", (8, 20), PLUS),
    "implicit zigzag": Method("sampler=implicit_zigzag", (10, 25), BACK),
    "implicit zigzag, last gap": Method("sampler=implicit_zigzag sampler.gap=last", (19, 49), BACK),
    "FSG": Method("sampler=fsg", (12, 40), FORESIGHT),
    "FSG, as run": Method("sampler=fsg sampler.interval=as_run", (12, 40), FORESIGHT),
    "RF-Sampling": Method("sampler=rf_sampling guidance=text_mix guidance.high=1 guidance.low=-0.5", (7, 17), WIDE),
    "APG": Method("sampler=standard guidance=apg", (20, 50), WIDE),
    "CFG-Zero*": Method("sampler=standard guidance=cfg_zero_star", (20, 50), CFG),
    "TCFG": Method("sampler=standard guidance=tcfg", (20, 50), WIDE, flow="guidance.output=velocity"),
    "FDG": Method("sampler=standard guidance=fdg", (20, 50), WIDE),
    "MAMBO-G": Method("sampler=standard guidance=mambo", (20, 50), WIDER),
    "zigzag, APG": Method("sampler=zigzag guidance=apg guidance.momentum=0", (7, 17), BACK),
    "autoguidance": Method("sampler=standard guidance=autoguidance weak.model.unet=null", (20, 50), WIDER, of=TUNED),
    "W2SD": Method(
        "sampler=reflection weak.model.unet=null", (7, 17), tuple(f"{one} gamma2={one[7:]}" for one in BACK), of=TUNED
    ),
    "TPG": Method("sampler=standard guidance=tpg guidance.first=0 guidance.scale=1", (13, 33), WIDE, of=UNET),
    "PAG": Method("sampler=standard guidance=pag", (13, 33), CFG, of=UNET),
    "SEG": Method("sampler=standard guidance=seg", (13, 33), WIDE, of=UNET),
    "SLG": Method(
        "sampler=standard guidance=slg guidance.layers=[3] guidance.start=0 guidance.stop=1 guidance.scale=1",
        (13, 33),
        CFG,
        of=FLOW,
    ),
    "Rectified-CFG++": Method(
        "sampler=rectified_cfgpp",
        (13, 33),
        tuple(f"sampler.scale={scale:g} sampler.power={p:g}" for scale in (1, 2.5, 5) for p in (0, 1.5)),
        of=FLOW,
    ),
}
CLAIMED = ("CFG", "CFG++", "CFG x 2", "CFG++ x 2", "resampling", "zigzag", "FSG", "FSG, as run")  # at 100: FSG's table


def asked() -> dict[str, dict[str, Method]]:
    """The methods in each setting."""
    found: dict[str, dict[str, Method]] = {}
    for where, which in SETTINGS.items():
        mine = {name: m for name, m in METHODS.items() if where.split(",")[0] in m.of}
        found[where] = {name: mine[name] for name in CLAIMED} if which else mine
    return found


@cache
def best() -> Mapping[str, Mapping[str, str]]:
    """The best scale, by setting and method."""
    found: Any = yaml.safe_load(Path(__file__).with_name("later_best.yaml").read_text(encoding="utf-8"))
    return found


def line(where: str, method: Method, scale: str) -> str:
    """The overrides of a method at a scale."""
    model = where.split(",")[0]
    words = f"{method.words} {method.flow}" if model == "shapes_flow" else method.words
    return f"model={model} {words.strip()} {scale} steps={method.steps[SETTINGS[where]]}"


def cells() -> tuple[str, ...]:
    """Each method at its best scale; the controls at the smaller budget."""
    return tuple(
        f"label='{where} | {name}' {line(where, method, scale)} "
        + ("controls=[] limit=200" if SETTINGS[where] else f"measurements=[effective_guidance] {CONTROLS}")
        for where, methods in asked().items()
        for name, method in methods.items()
        if (scale := best().get(where, {}).get(name))
    )


EXPERIMENT = Experiment(
    claim=CLAIM,
    common=COMMON,
    cells=cells(),
    cost="about three hours of one CPU core with runner.precision=bf16 (an estimate: it has been run in part)",
    layout=Layout(scores=("shapes_correct", "shapes_alignment"), by="tag"),
    view=lambda results: view(results, {where: tuple(methods) for where, methods in asked().items()}),
)
