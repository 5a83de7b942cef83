"""What `verl-coder teacher generate` is asked for."""

import math
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_coder import json_text
from verl_coder.errors import ConfigError
from verl_coder.teacher.addresses import check_url
from verl_coder.teacher.budget import Budget
from verl_coder.teacher.client import TeacherClient
from verl_coder.teacher.dialogues import open_dialogue
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.sampling import Sampling, Thinking
from verl_coder.teacher.selection import Keep
from verl_coder.teacher.tasks import Mode, TeacherTask
from verl_coder.teacher.trace_file import beside

KEY_NAMES = ("TEACHER_API_KEY", "OPENAI_API_KEY")
"""Environment variables that the key is taken from, the first that is set."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """The options of the command by their names; ConfigError where a value cannot be meant."""

    problems: tuple[Path, ...]
    out: Path
    base_url: tuple[str, ...]
    model: str
    tools: Path | None = None
    """YAML; None: the shipped one that the rows need."""
    mode: Mode = "row"
    num_samples: int = 8
    max_tasks: int | None = None
    keep: Keep = "passing"
    per_problem: int = 4
    max_turns: int = 4
    learn_failures: bool = False
    in_flight: int = 32
    temperature: float = 0.7
    top_p: float = 0.8
    presence_penalty: float = 1.5
    max_tokens: int = 8192
    thinking: Thinking = "on"
    seed: int | None = None
    extra: str = ""
    structured_calls: bool = True
    timeout_s: float = 600.0
    max_attempts: int = 10
    max_requests: int | None = None
    max_total_tokens: int | None = None
    max_cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    journal: Path | None = None
    sandbox_url: str | None = None
    concurrency: int = 0
    sampling: Sampling = field(init=False)

    def __post_init__(self) -> None:
        for url in self.base_url:
            check_url(url)
        for name in ("max_cost", "price_in", "price_out", "timeout_s", "presence_penalty"):
            value = getattr(self, name)
            least = 0.0 if name != "presence_penalty" else -math.inf
            if value is not None and not (json_text.is_number(value) and value >= least):
                wanted = "a number" if name == "presence_penalty" else "a number of 0 or more"
                raise ConfigError(f"--{name.replace('_', '-')} is {value}: use {wanted}")
        if self.max_cost is not None and not self.price_in and not self.price_out:
            raise ConfigError("--max-cost needs prices: give --price-in and --price-out, per million tokens")
        sampling = Sampling(
            model=self.model,
            temperature=self.temperature,
            top_p=self.top_p,
            presence_penalty=self.presence_penalty,
            max_tokens=self.max_tokens,
            thinking=self.thinking,
            seed=self.seed,
            extra=_extra(self.extra),
        )
        object.__setattr__(self, "sampling", sampling)

    @property
    def journal_path(self) -> Path:
        """Beside the traces, unless another place was given."""
        return self.journal or beside(self.out, ".journal.jsonl")

    @property
    def budget(self) -> Budget:
        """The limits, nothing spent."""
        return Budget(
            max_requests=self.max_requests,
            max_tokens=self.max_total_tokens,
            max_cost=self.max_cost,
            price_in=self.price_in,
            price_out=self.price_out,
        )

    def client(
        self,
        budget: Budget | None = None,
        on_failed: Callable[[tuple[int, int]], Awaitable[None]] | None = None,
    ) -> TeacherClient:
        """A client of the servers, to be opened in an event loop."""
        return self._client(self.base_url, budget, self.max_attempts, on_failed)

    def probe_client(self, url: str) -> TeacherClient:
        """A client of one server that soon says what is wrong with it."""
        return self._client((url,), None, min(self.max_attempts, 3))

    def _client(
        self,
        urls: tuple[str, ...],
        budget: Budget | None,
        max_attempts: int,
        on_failed: Callable[[tuple[int, int]], Awaitable[None]] | None = None,
    ) -> TeacherClient:
        name = next((name for name in KEY_NAMES if os.environ.get(name)), KEY_NAMES[0])
        return TeacherClient(
            urls,
            key=os.environ.get(name, ""),
            key_name=name,
            in_flight=self.in_flight,
            timeout_s=self.timeout_s,
            max_attempts=max_attempts,
            budget=budget,
            on_failed=on_failed,
        )

    def offers(self) -> Offers:
        """The tools of each protocol, by `tools`."""
        return Offers(self.tools, structured=self.structured_calls)

    def first_request(self, task: TeacherTask) -> dict[str, Any]:
        """The first request of a problem as it is sent."""
        dialogue = open_dialogue(task.protocol, task.problem.prompt, self.offers().of(task.protocol))
        return self.sampling.body(**dialogue.request())


def _extra(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        extra = json_text.loads(text)
    except ValueError as error:
        raise ConfigError(f"--extra {text!r} is no JSON ({error}): write an object of fields") from error
    if not isinstance(extra, dict):
        raise ConfigError(f"--extra {text!r} is no JSON object: write an object of fields")
    return extra
