"""Weights & Biases (https://wandb.ai): one run a row, under the row's own id, grouped by experiment.

A row that is resumed, here or elsewhere, goes on in its run: the id is the same, and steps go on. Nothing waits on the
server: without an account, a network or the right key the runs are kept offline in `path`, which is said once, and
`wandb sync` sends them.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from PIL.Image import Image

from zz.diffusion.validate import Range
from zz.lab.loggers.base import Say
from zz.lab.loggers.folders import check_folder, check_installed
from zz.lab.loggers.history import Pair, preview
from zz.lab.loggers.rows import RowLogger
from zz.lab.loggers.sink import About, Sink
from zz.lab.store.store import Store

FORBIDDEN = "/\\#?%:"  # in the name of a project
LONGEST, LONGEST_TAG = 128, 64  # characters, of a name and of a tag
SHORTEST_KEY = 40
SMALL = 128  # pixels of a side up to which a picture is sent without loss
REACH = 15.0  # seconds in which a server must answer


@dataclass(frozen=True)
class WandB(RowLogger):
    """One run a row.

    project, entity: where on the server; entity null: the account's own
    mode:     online, offline (kept in `path`, `wandb sync` sends it) or disabled
    path:     the folder that runs are kept in
    group:    that runs are grouped by; null: the experiment, or name=
    tags:     beside the model, the prompt set and the labels of the experiment
    pictures: pairs of pictures of each row that was asked for, beside its controls; 0: none
    """

    name: ClassVar[str] = "wandb"

    project: str = "zz"
    entity: str | None = None
    mode: Literal["online", "offline", "disabled"] = "online"
    path: str = "wandb"
    group: str | None = None
    tags: tuple[str, ...] = ()
    pictures: Annotated[int, Range(0)] = 8
    fallen: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("project", "entity", "group"):
            _check_name(f"logger.wandb.{name}", getattr(self, name), FORBIDDEN if name != "group" else "")
        for tag in self.tags:
            if not isinstance(tag, str) or not 0 < len(tag) <= LONGEST_TAG:
                raise ValueError(f"logger.wandb.tags={tag!r}: a tag has 1 to {LONGEST_TAG} characters; choose another")

    def destination(self, store: Store) -> str:
        server = os.environ.get("WANDB_BASE_URL", "") if self.mode == "online" else ""
        return f"{server} {self.entity or ''}/{self.project}"

    @property
    def enabled(self) -> bool:
        return self.mode != "disabled"

    @property
    def shown(self) -> int:
        return self.pictures

    def check(self) -> None:
        check_installed("logger=wandb", "wandb", "wandb")
        check_folder("logger.wandb.path", self.path)
        key = os.environ.get("WANDB_API_KEY")
        if self.mode == "online" and key and not re.fullmatch(rf"\S{{{SHORTEST_KEY},}}", key):
            raise ValueError(
                f"WANDB_API_KEY is no key: one has at least {SHORTEST_KEY} characters and no spaces, this has "
                f"{len(key)}; copy it from https://wandb.ai/authorize, or say logger.wandb.mode=offline"
            )

    def sink(self, about: About, say: Say) -> Sink:
        return _Run(self, about, say)

    def started(self, about: About, say: Say) -> Any:
        """The run of a row: online, or offline from when the server could not be reached."""
        import wandb

        os.environ.setdefault("WANDB_SILENT", "true")  # progress has the terminal
        if self.mode == "online" and not self.fallen:
            try:
                wandb.login(verify=True)
                return self._init(about, "online")
            except Exception as error:  # no account, no network, a wrong key, a name that the server refuses ...
                self.fallen.append(str(error))
                wandb.teardown()  # what it had begun is ended, or the run's id would be in use
                folder = Path(self.path).absolute() / "wandb"
                say(
                    f"Weights & Biases cannot be reached ({str(error).splitlines()[0]}); runs are kept offline, and "
                    f"`wandb sync {folder}/offline-run-*` sends them"
                )
        return self._init(about, "offline")

    def _init(self, about: About, mode: Literal["online", "offline"]) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=REACH,
            login_timeout=REACH,
            finish_timeout=max(1.0, self.patience),  # 0 would be for ever
            disable_git=True,
            x_disable_stats=True,  # a run is a row, not this process; slots say what they took
            x_save_requirements=False,
        )
        return wandb.init(
            project=self.project,
            entity=self.entity,
            id=about.id,
            resume="allow",
            reinit="create_new",
            mode=mode,
            dir=self.path,
            group=(self.group or about.group)[:LONGEST],
            job_type=about.role,
            name=about.title[:LONGEST],
            tags=[tag[:LONGEST_TAG] for tag in dict.fromkeys((*about.tags, *self.tags))],
            config=dict(about.config),
            settings=settings,
        )


class _Run(Sink):
    def __init__(self, logger: WandB, about: About, say: Say) -> None:
        self.logger, self.about, self.say = logger, about, say
        self._open()

    def _open(self) -> None:
        self._run = self.logger.started(self.about, self.say)
        self._fallen = len(self.logger.fallen)  # when it was opened
        for axis, groups in (("images", ("throughput", "made", "memory")), ("sampling_step", ("trajectory",))):
            self._run.define_metric(axis, hidden=True)
            for group in groups:
                self._run.define_metric(f"{group}/*", step_metric=axis)

    @property
    def run(self) -> Any:
        """The run; another one, offline, where the server was lost since."""
        if len(self.logger.fallen) > self._fallen:
            self._open()
        return self._run

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log(dict(numbers), step=step, commit=True)

    def whole(self, numbers: Mapping[str, float], changed: Mapping[str, float]) -> None:
        self.run.summary.update(dict(changed))

    def pictures(self, step: int, pairs: Sequence[Pair]) -> None:
        import wandb

        roles, scores = list(pairs[0].images), dict.fromkeys(name for pair in pairs for name in pair.scores)
        rows = [
            [
                pair.picture.prompt.text,
                pair.picture.seed,
                *(_image(pair.images[role]) for role in roles),
                *(pair.scores.get(name) for name in scores),
            ]
            for pair in pairs
        ]
        table = wandb.Table(columns=["prompt", "seed", *roles, *scores], data=rows)
        shown = [_image(i, f"{role}: {p.picture.prompt.text}") for p in pairs for role, i in p.images.items()]
        self.run.log({"pairs": table, "pictures": shown}, step=step, commit=True)

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        import wandb

        self.run.log({f"tables/{name}": wandb.Table(columns=list(columns), data=_same(rows))}, step=step, commit=True)

    def close(self, complete: bool) -> None:
        if len(self.logger.fallen) == self._fallen:
            self._run.finish(exit_code=0 if complete else 1)


def _image(image: Image, caption: str | None = None) -> Any:
    import wandb

    small = preview(image)
    return wandb.Image(small, caption=caption, file_type="png" if max(small.size) <= SMALL else "jpg")


def _same(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Cells as a table of W&B takes them: a column has one type, and what is not finite is none."""
    return [[_finite(value) if isinstance(value, int | float) else value for value in row] for row in rows]


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None


def _check_name(field: str, value: str | None, forbidden: str) -> None:
    if value is None:
        return
    if not value.strip() or len(value) > LONGEST or set(value) & set(forbidden):
        without = f", none of them {' '.join(forbidden)}" if forbidden else ""
        raise ValueError(f"{field}={value}: Weights & Biases takes names of 1 to {LONGEST} characters{without}")


__all__ = ["WandB"]
