"""Requests and responses; the field names are SandboxFusion's, `/run_pair` is the embedded server's own."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CommandStatus = Literal["Finished", "Error", "TimeLimitExceeded"]
RunStatus = Literal["Success", "Failed", "SandboxError"]
Files = Mapping[str, str | None]
"""Relative path -> base64 of the content; a null content is skipped."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One program; times in seconds, `memory_limit_MB` -1 is the server's own limit, stdin None is end of file."""

    code: str
    language: str = "python"
    compile_timeout: float = 10.0
    run_timeout: float = 10.0
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: Files = field(default_factory=dict)
    fetch_files: tuple[str, ...] = ()
    output_limit_bytes: int = -1
    """The embedded server's own: so much of stdout is kept, and a program that prints more is ended."""

    def to_dict(self) -> dict[str, Any]:
        """Body of POST /run_code."""
        return vars(self) | {"files": dict(self.files)}


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """What one command did. `return_code` is negative for a signal and None after a time-out.

    `cpu_time`, in seconds, is the embedded server's own.
    """

    status: CommandStatus
    execution_time: float | None = None
    cpu_time: float | None = None
    return_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "CommandResult":
        """From the JSON object; raises KeyError without a status."""
        return cls(
            status=value["status"],
            execution_time=value.get("execution_time"),
            cpu_time=value.get("cpu_time"),
            return_code=value.get("return_code"),
            stdout=value.get("stdout"),
            stderr=value.get("stderr"),
        )


@dataclass(frozen=True, kw_only=True)
class RunResponse:
    """Answer of POST /run_code: Success means that the program (and its compilation) ended with status 0."""

    status: RunStatus
    message: str = ""
    compile_result: CommandResult | None = None
    run_result: CommandResult | None = None
    executor_pod_name: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "RunResponse":
        """From the JSON object; raises KeyError without a status."""
        return cls(
            status=value["status"],
            message=value.get("message") or "",
            compile_result=_optional_result(value.get("compile_result")),
            run_result=_optional_result(value.get("run_result")),
            executor_pod_name=value.get("executor_pod_name"),
            files=value.get("files") or {},
        )


@dataclass(frozen=True, kw_only=True)
class Program:
    """One Python program of a pair, and its files."""

    code: str
    files: Files = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Its part of the body of POST /run_pair."""
        return {"code": self.code, "files": dict(self.files)}


@dataclass(frozen=True, kw_only=True)
class PairRequest:
    """Two programs joined by a socket (`int(os.environ["PEER_FD"])` in each); the limits hold for each."""

    judge: Program
    candidate: Program
    run_timeout: float = 10.0
    memory_limit_MB: int = -1

    def to_dict(self) -> dict[str, Any]:
        """Body of POST /run_pair."""
        return vars(self) | {"judge": self.judge.to_dict(), "candidate": self.candidate.to_dict()}


@dataclass(frozen=True, kw_only=True)
class PairResponse:
    """Answer of POST /run_pair: Success means that the judge ended with status 0."""

    status: RunStatus
    message: str = ""
    judge: CommandResult | None = None
    candidate: CommandResult | None = None
    executor_pod_name: str | None = None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "PairResponse":
        """From the JSON object; raises KeyError without a status."""
        return cls(
            status=value["status"],
            message=value.get("message") or "",
            judge=_optional_result(value.get("judge")),
            candidate=_optional_result(value.get("candidate")),
            executor_pod_name=value.get("executor_pod_name"),
        )


def signal_name(return_code: int) -> str:
    """Of the signal that a negative return code stands for."""
    number = -return_code
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _optional_result(value: Mapping[str, Any] | None) -> CommandResult | None:
    return None if value is None else CommandResult.from_dict(value)
