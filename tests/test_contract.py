"""Every YAML under conf/ composes, instantiates, and lists just the fields of what it makes."""

import inspect
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from zz.cli.conf import conf_dir, options
from zz.cli.config import build
from zz.data.base import PromptSet
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.solvers.base import Solver
from zz.lab.cell import to_json
from zz.lab.loggers.base import Logger
from zz.lab.measurements.base import Measurement
from zz.lab.runner import Runner
from zz.models.base import Model
from zz.models.mixture import points
from zz.scorers.base import Metric

CONF = Path(conf_dir())
ROOMS = {
    "model": Model,
    "sampler": Sampler,
    "solver": Solver,
    "schedule": Schedule,
    "runner": Runner,
    "dataset": PromptSet,
    "guidance": Guidance,
}
NEEDED = {
    "explicit": ["schedule.times=[999,749,499,249]", "steps=4"],
    "inline": ["dataset.texts=[a red circle]"],
    "sd": ["model.pretrained=none"],
    "log_odds": ["model=mixture"],  # they judge by its formula
    "atypicality": ["model=mixture"],
}
GROUPS = [
    "model",
    "sampler",
    "solver",
    "guidance",
    "schedule",
    "dataset",
    "scorers",
    "runner",
    "logger",
    "measurements",
]
LISTS = {"scorers": Metric, "logger": Logger, "measurements": Measurement}  # groups of which several may be chosen
OPTIONS = [(group, option) for group in GROUPS for option in options(group)]
OF_FLOWS = ("rectified_cfgpp",)  # samplers that refuse other noise levels
OWN = {  # fields in which options of one class differ, by group; all others are as the class has them
    "model": {
        *("name", "variant", "prediction_type", "mirrors", "unet", "vae", "size", "steps", "gamma1", "batch_size"),
        "original_size",
        *("text_tokens", "t5", "t5_tokens", "slicing", "licence", "gated", "download_gb", "memory_gb", "frames", "fps"),
        *("motion_adapter", "beta_schedule"),
    },
    "schedule": {"spacing", "offset", "final", "shift"},
    "dataset": {"name", "texts", "sha256", "size", "licence", "first", "hundred"},  # texts: given here
    "scorers": {"name", "strict", "licence", "resize", "side", "revision", "sha256", "size", "package"},
}


@pytest.fixture(scope="module", autouse=True)
def conf():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@cache
def composed(group, option):
    choice = f"{group}=[{option}]" if group in LISTS else f"{group}={option}"
    return compose("config", overrides=[choice, *NEEDED.get(option, [])])


def nodes(config):
    """Every mapping with a _target_, at any depth."""
    if OmegaConf.is_dict(config):
        if "_target_" in config:
            yield config
        for key in config:
            yield from nodes(config[key])


def test_every_folder_is_a_known_room():
    folders = {p.name for p in CONF.iterdir() if p.is_dir()}
    assert folders == {*GROUPS, "hydra"}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_it_instantiates_to_what_its_room_holds(group, option):
    made = build(composed(group, option)[group])
    if group in LISTS:
        assert list(made) == [option] and isinstance(made[option], LISTS[group])
        assert group == "logger" or made[option].name == option
    else:
        assert isinstance(made, ROOMS.get(group, object))


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_it_lists_every_field_with_the_defaults_of_its_class(group, option):
    config = composed(group, option)[group]
    found = list(nodes(config))
    assert found
    for node in found:
        target = get_object(node["_target_"])
        assert node["_target_"].startswith("zz.")
        if is_dataclass(target):
            wanted = [f.name for f in fields(target) if f.init]
        else:
            wanted = list(inspect.signature(target).parameters)
        assert sorted(k for k in node if k != "_target_") == sorted(wanted)
        plain = OmegaConf.to_container(node, resolve=False)
        for parameter in inspect.signature(target).parameters.values():
            value = plain[parameter.name]
            literal = not isinstance(value, dict) and not (isinstance(value, str) and "${" in value)
            if literal and parameter.default is not parameter.empty and parameter.name not in OWN.get(group, ()):
                value = tuple(value) if isinstance(value, list) else value
                assert value == parameter.default, parameter.name


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, o in OPTIONS if g in LISTS])
def test_an_option_of_a_list_is_one_name_with_one_target(group, option):
    file = OmegaConf.load(CONF / group / f"{option}.yaml")
    assert list(file) == [option] and "_target_" in file[option]


def test_files_that_begin_with_an_underscore_are_bases_and_no_options():
    bases = set(CONF.rglob("_*.yaml"))
    assert CONF / "dataset" / "_selection.yaml" in bases and CONF / "model" / "_unet.yaml" in bases
    assert not any(option.startswith("_") for _, option in OPTIONS)
    used = set()
    for path in (path for path in CONF.rglob("*.yaml") if path.parent != CONF):
        for name in (one for one in OmegaConf.load(path).get("defaults", ()) if isinstance(one, str)):
            used.add(path.parent / f"{name}.yaml")
    assert bases <= used, "a base of nothing"


@pytest.mark.parametrize("option", [o for g, o in OPTIONS if g == "sampler"])
def test_every_sampler_keeps_its_word(option):
    """nfe counted, shape and type kept, deterministic, resolve is a fixed point, and a cell can hold it."""
    sampler = build(composed("sampler", option).sampler)
    T, seeds = 8, (0, 1, 2)
    model = replace(points(), levels=Flow()) if option in OF_FLOWS else points()
    with model.open() as pipeline:
        cond, uncond = pipeline.encode(["north"] * 3, [None] * 3)
        guided = CFG().bind(pipeline, cond, uncond)
        schedule = pipeline.schedule.nodes(pipeline.levels, T)
        x_T = starting_noise(seeds, (2, 1, 1))

        def run(one, probe):
            from zz.diffusion.solvers.ddim import DDIM

            return one.sample(guided, x_T, schedule, DDIM(), KeyedNoise(seeds, (2, 1, 1)), probe)

        steps, again, resolved = [], [], []
        x = run(sampler, steps.append)
        assert len(steps) == sampler.nfe(T)
        assert x.shape == x_T.shape and x.dtype == x_T.dtype
        assert (run(sampler, again.append) == x).all()
        simplest = sampler.resolve(T)
        assert simplest.resolve(T) == simplest and simplest.nfe(T) == sampler.nfe(T)
        assert (run(simplest, resolved.append) == x).all()
        assert to_json(simplest)["version"] >= 1
        assert isinstance(sampler.standard_gamma, int | float)
        assert (Leg.ZAG in sampler.legs) == any(step.leg is Leg.ZAG for step in steps)
        for T in (2, 3, 5):
            counted = []
            schedule = pipeline.schedule.nodes(pipeline.levels, T)
            run(sampler, counted.append)
            assert len(counted) == sampler.nfe(T)


@pytest.mark.parametrize("name", ["gamma1", "gamma2", "lambda", "k", "rounds", "inversion", "network_time", "v_at"])
def test_a_top_level_key_reaches_the_sampler(name):
    values = {"inversion": "ref_0_22", "network_time": "s", "v_at": "s"}
    value = values.get(name, 3)
    sampler = build(compose("config", overrides=["sampler=zigzag", f"{name}={value}"]).sampler)
    assert getattr(sampler, "lambda_" if name == "lambda" else name) == value


def test_dataset_and_scorers_follow_the_model_unless_given():
    assert compose("config").dataset.name == "shapes" and "shapes_correct" in compose("config").scorers
    exact = compose("config", overrides=["model=mixture"])
    assert exact.dataset.name == "mixture" and list(exact.scorers) == ["log_odds", "atypicality"]
    assert compose("config", overrides=["dataset=inline"]).dataset.name == "inline"
    assert not compose("config", overrides=["scorers=[]"]).get("scorers")
