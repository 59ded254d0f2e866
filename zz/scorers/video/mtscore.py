"""GPT4o-MTScore of ChronoMagic-Bench (Yuan et al., 2024): GPT-4o rates from 1 to 5 how much a time-lapse clip changes.

A paid service is asked; whatever it answers is kept on disk, and the same clip is never asked about twice. Its answers
are drawn at random and its models are withdrawn in time: the replies that are kept are the record.
"""

import ast
import base64
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from PIL import Image

from zz.data.base import Prompt
from zz.diffusion.validate import Positive, Range
from zz.hub.files import cache
from zz.hub.published import Published
from zz.scorers.base import ImageScorer, Needs, Score

NAME = "txt_prompt"  # what their program calls the instructions
ANSWER = 120  # tokens of a reply, for the estimate: a sentence or two, and the score


class Estimate(NamedTuple):
    """What asking about clips would take, roughly: tokens are OpenAI's tiles of pictures, and 4 characters of text."""

    asked: int  # clips whose reply is not kept yet
    tokens: int  # sent and received
    dollars: float


@dataclass(frozen=True)
class MTScore(ImageScorer):
    """A rating of 1 (hardly any change) to 5 (dramatic change), by the authors' words and frames.

    rubric:     the file with their instructions, whose every word moves the score: a Python file in which they are
                `txt_prompt`, or a text file
    model:      what is asked
    frames:     of a clip: the first, the last, and between them every (F - 1) // (frames - 1)-th, as the authors have
    short_edge: to which larger frames are scaled down, pixels; the authors' resizing is OpenCV's by area, here Pillow's
    base_url:   of another service that speaks the same protocol; None: OpenAI
    replies:    the folder in which replies are kept; None: below ~/.cache/zz
    retries:    of a request that fails, and of a reply without a score
    dry_run:    ask nothing, and say what asking would cost
    dollars_in, dollars_out: the price of a million tokens, for the estimate; look it up before use

    The name of the prompt's `videoid` stands at each frame, as the authors have it; prompts without one are "video".
    """

    rubric: Published
    model: str = "gpt-4o-2024-05-13"
    frames: Annotated[int, Range(2)] = 8
    short_edge: Positive = 256
    base_url: str | None = None
    replies: str | None = None
    retries: int = 5
    dry_run: bool = False
    dollars_in: Annotated[float, Range(0)] = 5.0
    dollars_out: Annotated[float, Range(0)] = 15.0
    name: str = field(default="gpt4o_mtscore", kw_only=True)
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "1..5"
    higher_is_better: ClassVar[bool | None] = True
    reads: ClassVar[tuple[str, ...]] = ("videoid",)
    reads_clips: ClassVar[bool] = True

    @property
    def needs(self):
        return Needs(files=(self.rubric,), extras=("openai",))

    def settings(self):
        about = {"rubric": self.rubric.source, "model": self.model, "base_url": self.base_url}
        return about | {"frames": self.frames, "short_edge": self.short_edge}

    def describe(self, text: str):
        return {"videoid": "video"}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        rubric, client = self._rubric(), list[Any]()

        def score(clips: Sequence[Sequence[Image.Image]], prompts: Sequence[Prompt]) -> list[float]:
            asked = [self._asked(clip, prompt, rubric) for clip, prompt in zip(clips, prompts, strict=True)]
            if self.dry_run:
                raise ValueError(f"dry_run: {self._cost(asked)}; nothing was asked")
            return [self._rated(one, client) for one in asked]

        yield score

    def estimate(self, clips: Sequence[Sequence[Image.Image]], prompts: Sequence[Prompt]) -> Estimate:
        """What asking about these clips would take, without those whose reply is kept."""
        rubric = self._rubric()
        return self._estimate([self._asked(clip, prompt, rubric) for clip, prompt in zip(clips, prompts, strict=True)])

    def _asked(self, clip: Sequence[Image.Image], prompt: Prompt, rubric: str) -> "_Asked":
        if len(clip) < self.frames:
            said = f"needs clips of {self.frames} frames or more, and got {len(clip)}"
            raise ValueError(f"{self.name} {said}; lower scorers.{self.name}.frames, which makes another score")
        step = (len(clip) - 1) // (self.frames - 1)
        at = [*(i * step for i in range(self.frames - 1)), len(clip) - 1]
        name = str(prompt.meta.get("videoid", "video"))
        frames = {f"{name}_frame{i}.png": _shrunk(clip[i].convert("RGB"), self.short_edge) for i in at}
        said = json.dumps([self.model, self.base_url, rubric, [(name, one.size) for name, one in frames.items()]])
        key = hashlib.sha256(said.encode() + b"".join(one.tobytes() for one in frames.values())).hexdigest()
        return _Asked(rubric, frames, (Path(self.replies) if self.replies else cache() / "replies") / f"{key}.json")

    def _estimate(self, asked: Sequence["_Asked"]) -> Estimate:
        new = [one for one in asked if one.kept() is None]
        sent, received = sum(one.tokens for one in new), ANSWER * len(new)
        return Estimate(len(new), sent + received, (sent * self.dollars_in + received * self.dollars_out) / 1e6)

    def _cost(self, asked: Sequence["_Asked"]) -> str:
        new, tokens, dollars = self._estimate(asked)
        each = f", {dollars / new:.4f} a clip" if new else ""
        return (
            f"of {len(asked)} clips {new} would be asked about, for some {tokens} tokens, {dollars:.2f} dollars{each}"
        )

    def _rated(self, asked: "_Asked", client: list[Any]) -> float:
        """Its rating, of the reply that is kept or of a new one; nan where no reply has one."""
        if (known := asked.kept()) is not None:
            return known
        if not client:
            client.append(self._client())
        for _ in range(self.retries + 1):
            reply = client[0](asked.messages())
            if (found := rating(reply.get("content"))) is not None:
                asked.keep(reply)
                return found
        return math.nan

    def _client(self) -> Callable[[list[Any]], dict[str, Any]]:
        """Asks the service. Raises ValueError where it cannot be asked."""
        said = f"scorers.{self.name}"
        try:
            import openai
        except ModuleNotFoundError:
            raise ValueError(f"{said} needs the package openai: pip install 'zz[openai]'") from None
        if not os.environ.get("OPENAI_API_KEY"):
            raise ValueError(f"{said} asks a paid service: set OPENAI_API_KEY, or see scorers.{self.name}.dry_run=true")
        service = openai.OpenAI(base_url=self.base_url, max_retries=self.retries)

        def ask(messages: list[Any]) -> dict[str, Any]:
            try:
                answer = service.chat.completions.create(model=self.model, messages=messages, max_tokens=2048)
            except openai.OpenAIError as error:
                why = f"{type(error).__name__}: {error}".split("\n")[0]
                raise ValueError(
                    f"{said}.model={self.model} gave no answer ({why}); replies so far are kept"
                ) from error
            usage = getattr(answer, "usage", None)
            counts = {"sent": usage.prompt_tokens, "received": usage.completion_tokens} if usage else None
            return {"model": answer.model, "content": answer.choices[0].message.content, "tokens": counts}

        return ask

    def _rubric(self) -> str:
        path = self.rubric.fetch(f"scorers.{self.name}.rubric")
        text = path.read_text(encoding="utf-8")
        return instructions(text, path) if path.suffix == ".py" else text


@dataclass(frozen=True)
class _Asked:
    """One request: instructions, frames by their names, and the file of its reply."""

    rubric: str
    frames: dict[str, Image.Image]
    file: Path

    @property
    def tokens(self) -> int:
        tiles = sum(math.ceil(one.width / 512) * math.ceil(one.height / 512) for one in self.frames.values())
        return (len(self.rubric) + sum(map(len, self.frames))) // 4 + 85 * len(self.frames) + 170 * tiles

    def messages(self) -> list[Any]:
        content: list[Any] = [{"type": "text", "text": self.rubric}]
        for name, frame in self.frames.items():
            frame.save(png := io.BytesIO(), "PNG")
            url = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
            content += [{"type": "text", "text": name}, {"type": "image_url", "image_url": {"url": url}}]
        return [{"role": "user", "content": content}]

    def kept(self) -> float | None:
        try:
            record = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a torn file is asked for again
            return None
        return rating(record.get("content")) if isinstance(record, dict) else None

    def keep(self, reply: dict[str, Any]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.file.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(reply, ensure_ascii=False), encoding="utf-8")
        beside.replace(self.file)


def rating(reply: str | None) -> float | None:
    """The rating in a reply, whose last line is "Score":{4}; None where there is none of 1 to 5."""
    found = re.findall(r'"?Score"?\s*:\s*\{?\s*(\d+(?:\.\d+)?)\s*\}?', reply or "")
    return float(found[-1]) if found and found[-1] in ("1", "2", "3", "4", "5") else None


def instructions(source: str, path: Path) -> str:
    """The text that a Python file calls `txt_prompt`; the file is read, not run."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        tree = ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.Assign) and [name.id for name in node.targets if isinstance(name, ast.Name)] == [NAME]:
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str):
                return value
    raise ValueError(f"{path} has no text called {NAME}; give a file of another revision, or a .txt file")


def _shrunk(frame: Image.Image, short: int) -> Image.Image:
    """A frame whose shorter side is at most `short` pixels."""
    if min(frame.size) <= short:
        return frame
    scale = short / min(frame.size)
    return frame.resize((int(frame.width * scale), int(frame.height * scale)), Image.Resampling.BOX)


__all__ = ["Estimate", "MTScore", "instructions", "rating"]
