"""What the checks look at, made when the first of them asks: the recipe's plan, a sandbox, the tokenizer, the model."""

import os
import secrets
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from verl_coder.chat_template import options_of_run
from verl_coder.errors import SandboxUnavailableError, VerlCoderError
from verl_coder.platform.environment import choose_profile

if TYPE_CHECKING:
    from verl_coder.launch.plan import Plan
    from verl_coder.sandbox import SandboxClient

Made = TypeVar("Made")
SECRET = "VERL_CODER_DOCTOR_SECRET"
"""A variable of this process, which no program in the sandbox may see."""

KNOBS = ("model", "train", "val", "reward", "loss", "tools", "out", "seed")
"""Options of `train` that the doctor has, too; in capitals, the variables of run_scripts/ and docker/."""
_ANY_LENGTH = 1 << 20


class NotHereError(Exception):
    """What a check looks at is not there, and another check says why: the check is skipped."""


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """The options of the command; None keeps what the recipe says."""

    recipe: str | None = None
    model: str | None = None
    loads_model: bool = False
    """A large model, too, is loaded for one answer."""
    train: str | None = None
    val: str | None = None
    reward: str | None = None
    loss: str | None = None
    tools: str | None = None
    out: str | None = None
    seed: int | None = None
    teacher_url: str | None = None
    teacher_model: str | None = None
    components: tuple[str, ...] = ()
    overrides: tuple[str, ...] = field(default=())


def has_gpu() -> bool:
    """Whether a run takes the GPU: as the scripts choose, PROFILE first."""
    return choose_profile() == "gpu"


class Situation:
    """Context manager: leaves no sandbox behind. What cannot be made raises its error once, then NotHereError."""

    def __init__(self, options: DoctorOptions) -> None:
        self.options = options
        self.recipe = options.recipe or ("qwen_grpo" if has_gpu() else "tiny_cpu")
        self._made: dict[str, Any] = {}
        self._ends = ExitStack()
        os.environ.setdefault(SECRET, secrets.token_hex(8))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the sandbox that was started."""
        self._ends.close()

    def once(self, what: str, make: Callable[[], Made]) -> Made:
        """`make()`, once; after a failure NotHereError with the name of what is missing."""
        if what not in self._made:
            try:
                self._made[what] = make()
            except NotHereError:
                raise
            except Exception:
                self._made[what] = None
                raise
        if self._made[what] is None:
            raise NotHereError(f"not looked at: {what} is not there")
        return self._made[what]  # type: ignore[no-any-return]

    @property
    def plan(self) -> "Plan":
        """The recipe's plan with the options put in; ConfigError."""
        from verl_coder.launch.plan import TrainRequest, make_plan

        knobs = {knob: getattr(self.options, knob) for knob in KNOBS}
        request = TrainRequest(recipe=self.recipe, overrides=self.options.overrides, **knobs)
        return self.once("the recipe's configuration", lambda: make_plan(request))

    @property
    def config(self) -> Any:
        """The resolved configuration."""
        return self.plan.config

    @property
    def template_options(self) -> dict[str, Any]:
        """Of the model's chat template, as in rollouts."""
        return options_of_run(self.config)

    @property
    def sandbox_url(self) -> str:
        """The sandboxes that the run is given, else one that is started here; SandboxUnavailableError."""
        return self.once("the sandbox", self._start_sandbox)

    def _start_sandbox(self) -> str:
        from verl_coder.launch.preflight.places import check_sandboxes, sandbox_urls
        from verl_coder.sandbox.embedded import EmbeddedSandbox

        try:
            settings = self.plan.settings
        except (VerlCoderError, NotHereError):
            return self._ends.enter_context(EmbeddedSandbox()).url
        if given := sandbox_urls(settings):
            check_sandboxes(settings)
            return given
        extra = ["--unsafe"] if settings.sandbox_unsafe else []
        return self._ends.enter_context(
            EmbeddedSandbox(isolation=settings.sandbox_isolation, extra=extra)
        ).url

    def ask_sandbox(self, url: str, question: "Callable[[SandboxClient], Coroutine[Any, Any, Made]]") -> Made:
        """Run `question` with a client of the server at `url` that tries twice; SandboxUnavailableError."""
        import asyncio

        from verl_coder.sandbox import SandboxClient

        async def ask() -> Made:
            async with SandboxClient([url], max_attempts=2) as client:
                return await question(client)

        try:
            return asyncio.run(ask())
        except (KeyError, TypeError, AttributeError) as error:
            raise SandboxUnavailableError(
                f"{url} answers with no outcome of a program ({error!r})"
            ) from error

    @property
    def model_folder(self) -> Path:
        """The model's folder; NotHereError where it is not on this machine."""
        from verl_coder.launch.preflight.model import local_folder

        path = str(self.config.actor_rollout_ref.model.path)
        folder = local_folder(path)
        if folder is None:
            raise NotHereError(f"{path} is not on this machine (--model FOLDER names one)")
        return folder

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer with its template; ConfigError."""
        from verl_coder.launch.preflight.rows import load_tokenizer

        self.model_folder  # noqa: B018  (a model that is not here is skipped, not fetched)
        return self.once("the tokenizer", lambda: load_tokenizer(self.config))

    @property
    def trace_tokenizer(self) -> Any:
        """What makes the rollout's tokens of a conversation of any length."""
        tokenizer = self.tokenizer
        return self.once("the trace tokenizer", lambda: self._trace_tokenizer(tokenizer))

    def _trace_tokenizer(self, tokenizer: Any) -> Any:
        from omegaconf import OmegaConf, open_dict
        from transformers import AutoConfig

        from verl_coder.traces import rollout_tokenizer

        config = OmegaConf.masked_copy(self.config, ["actor_rollout_ref", "data"])
        with open_dict(config):
            config.data.max_prompt_length = config.data.max_response_length = _ANY_LENGTH
        return rollout_tokenizer(config, tokenizer, AutoConfig.from_pretrained(self.model_folder).model_type)

    @property
    def what_stands(self) -> str:
        """What the output folder has of a run; empty where none was started there."""
        from verl_coder.launch.status import what_stands

        return what_stands(self.plan.run_dir)

    @property
    def not_made_yet(self) -> str:
        """Why it is no fault that data files or traces are missing: the start makes them. Empty where it does not."""
        from verl_coder.launch.plan import preparation

        command = preparation(self.plan)
        return f"not made yet (the start runs `{command}`)" if command else ""

    @property
    def data_sets(self) -> dict[str, list[Path]]:
        """`train` and `val` -> the files of each set that is there as a whole; NotHereError where none is."""
        from verl_coder.launch.recipe import file_list

        files = {name: file_list(self.config.data[f"{name}_files"]) for name in ("train", "val")}
        missing = [path for paths in files.values() for path in paths if not path.is_file()]
        there = {name: paths for name, paths in files.items() if paths and not {*paths} & {*missing}}
        if not there:
            place = missing[0] if missing else "data.train_files"
            raise NotHereError(f"{place}: {self.not_made_yet or 'not looked at: no such file'}")
        return there

    @property
    def data_files(self) -> list[Path]:
        """The Parquet files of `data_sets`, each once."""
        return list(dict.fromkeys(path for paths in self.data_sets.values() for path in paths))
