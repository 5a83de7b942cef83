"""What is asked of a teacher's server beside the conversation: the settings that its answers depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from verl_coder.errors import ConfigError

Thinking = Literal["on", "off", "unset"]
_OWNED = ("model", "messages", "tools", "tool_choice", "stop", "stream", "n", "seed")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Fields of a chat completion request. ConfigError where a value cannot be meant."""

    model: str
    temperature: float = 0.7
    top_p: float = 0.8
    presence_penalty: float = 1.5
    max_tokens: int = 8192
    """Of one answer, its thinking included."""
    thinking: Thinking = "on"
    """`chat_template_kwargs.enable_thinking`; `unset` leaves the field out, for servers that refuse it."""
    seed: int | None = None
    """Of the first sample of a problem; sample i has seed + i. None leaves the choice to the server."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields, as they are; null takes one of ours away."""

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("--model is empty: give the name under which the server offers the teacher")
        if not 0 <= self.temperature <= 2:
            raise ConfigError(f"--temperature is {self.temperature}: use a number in [0, 2]")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p is {self.top_p}: use a number in (0, 1]")
        if owned := [name for name in self.extra if name in _OWNED]:
            raise ConfigError(f"--extra has {owned[0]!r}, which this command sets itself: leave it out")

    def body(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        sample: int = 0,
        tools: Sequence[Mapping[str, Any]] = (),
        tool_choice: str = "auto",
        stop: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The JSON object of one request."""
        body: dict[str, Any] = {"messages": list(messages), **self.identity()}
        if tools:
            body |= {"tools": list(tools), "tool_choice": tool_choice}
        if stop:
            body["stop"] = list(stop)
        if self.seed is not None:
            body["seed"] = self.seed + sample
        return body

    def identity(self) -> dict[str, Any]:
        """The fields that all requests share; the seed is a sample's own."""
        fields: dict[str, Any] = {
            "model": self.model,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "presence_penalty": self.presence_penalty,
            "max_tokens": self.max_tokens,
        }
        if self.thinking != "unset":
            fields["chat_template_kwargs"] = {"enable_thinking": self.thinking == "on"}
        return {name: value for name, value in {**fields, **self.extra}.items() if value is not None}
