"""The problems that a teacher is asked: read, put into a protocol, ordered, and named by their content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.errors import ConfigError, DataError
from verl_coder.grading.plan import make_plan
from verl_coder.problems import Message, Problem
from verl_coder.prompts import known_system, protocol_of, system_prompt, without_tool
from verl_coder.protocols import ToolProtocol, find_protocol
from verl_coder.teacher.journal import digest
from verl_coder.teacher.offers import Offer, Offers
from verl_coder.teacher.sampling import Sampling
from verl_coder.teacher.trace_tools import TRACED_PROTOCOLS, has_traces

Mode = Literal["row", "plain", "tool", "program", "session", "debugger", "debugger_late"]
_MODES = {"plain": "none"} | {name: name for name in get_args(Mode) if name not in ("row", "plain")}
_ASKED = (*_MODES.values(), "program_one_shot")
_OTHERS = [name for name in TRACED_PROTOCOLS if name != "tool"]
_EXPECTED = {"hard": 0.25, "medium": 0.5, "unknown": 0.5, "easy": 0.75}
"""The pass rate that a difficulty stands for, where none was measured."""
_NO_OUTPUT = {"num_workers": 0, "calls_per_s": 0.0}
"""Settings of the tool that change no output, as every key has them: without them older journals would not be found."""


@dataclass(frozen=True, kw_only=True)
class TeacherTask:
    """A problem as the teacher is asked it."""

    problem: Problem
    protocol: ToolProtocol
    key: str
    """Hash of all that its answers depend on: prompt, settings of the request and of the tool."""
    tests_key: str
    """Hash of the hidden tests."""
    place: int
    """Row number in the files."""


def read_tasks(
    paths: Sequence[Path],
    mode: Mode,
    sampling: Sampling,
    *,
    offers: Offers,
    max_tasks: int | None = None,
    on_repeated: Callable[[str], object] = lambda problem_id: None,
) -> list[TeacherTask]:
    """The problems of files, hard ones first, at most `max_tasks`. DataError names the file and row of a bad one.

    A problem that asks word for word the same as one before is left out, and `on_repeated` is told its problem_id.
    """
    tasks: list[TeacherTask] = []
    seen: set[str] = set()
    for path in paths:
        if path.is_dir():
            raise ConfigError(
                f"--problems {path} is a folder with every split: name a file, such as train.parquet"
            )
        for file in resolve_prepared(path):
            for number, row in enumerate(iter_rows(file)):
                place = f"{file}, row {number}"
                problem = read_problem(row, place)
                protocol, problem = _in_protocol(problem, mode, place)
                key = _key(problem, protocol, sampling, offers.of(protocol))
                if key in seen:
                    on_repeated(problem.problem_id)
                    continue
                seen.add(key)
                tests = digest(problem.tests.to_json())
                tasks.append(
                    TeacherTask(
                        problem=problem, protocol=protocol, key=key, tests_key=tests, place=len(tasks)
                    )
                )
    if not tasks:
        raise DataError(f"{', '.join(map(str, paths))}: there is no problem in it")
    tasks.sort(key=_ease)
    return tasks[:max_tasks]


def read_problem(row: dict[str, Any], place: str) -> Problem:
    """The problem in a row of a file; DataError names the row and what is wrong with it."""
    try:
        problem = Problem.from_row(row)
    except DataError as error:
        info = row.get("extra_info")
        name = (info.get("problem_id") if isinstance(info, dict) else None) or "no problem_id"
        raise DataError(f"{place} ({name}): {error}") from error
    if not problem.prompt or not all(
        isinstance(m.get(f), str) for m in problem.prompt for f in ("role", "content")
    ):
        raise DataError(
            f"{place} ({problem.problem_id}): its prompt is no list of messages with role and content"
        )
    try:
        make_plan(replace(problem.tests))  # of a copy, so that no plan is kept of a problem that is not asked
    except DataError as error:
        raise DataError(f"{place} ({problem.problem_id}): {error}: mend the row or drop it") from error
    return problem


def read_problems(path: Path, *, plain: bool = False) -> dict[str, Problem]:
    """The rows of one file (or its shards) by problem_id; DataError unless all are of one protocol with traces.

    `plain`: also unless what their prompts say of tools can be left out.
    """
    if path.is_dir():
        raise ConfigError(
            f"--problems {path} is a folder with every split: name one file, such as train.parquet"
        )
    problems: dict[str, Problem] = {}
    first: Problem | None = None
    for file in resolve_prepared(path):
        for number, row in enumerate(iter_rows(file)):
            problem = read_problem(row, f"{file}, row {number}")
            if not has_traces(problem.agent_name):
                raise DataError(
                    f"{file}, row {number} has agent_name {problem.agent_name!r}, of which no traces are made; make "
                    f"the file with `verl-coder data prepare ... --protocol tool` (or {', '.join(_OTHERS)})"
                )
            if plain:
                _check_plain(problem, f"{file}, row {number}")
            if own_protocol(problem) != own_protocol(first or problem):
                raise DataError(
                    f"{file}, row {number} has another agent_name or protocol than those before it"
                )
            first = first or problem
            if problem.problem_id in problems:
                raise DataError(f"{file}, row {number} repeats the problem_id {problem.problem_id!r}")
            problems[problem.problem_id] = problem
    if not problems:
        raise DataError(f"--problems {path}: there is no problem in it")
    return problems


def _check_plain(problem: Problem, place: str) -> None:
    try:
        without_tool(problem.prompt)
    except ConfigError as error:
        raise DataError(
            f"{place} ({problem.problem_id}): {error} --plain-share needs one that `verl-coder data prepare` has made: "
            "make the file with it, or leave the option out"
        ) from error


def own_protocol(problem: Problem) -> ToolProtocol | None:
    """The protocol of its row."""
    return protocol_of(problem.agent_name, problem.prompt)


def _ease(task: TeacherTask) -> float:
    rate = task.problem.pass_rate
    return rate if rate is not None else _EXPECTED[task.problem.difficulty]


def _in_protocol(problem: Problem, mode: Mode, place: str) -> tuple[ToolProtocol, Problem]:
    """(protocol, the problem with a prompt of that protocol)."""
    own = own_protocol(problem)
    if mode == "row":
        if own is None:
            raise DataError(f"{place} has agent_name {problem.agent_name!r}, of which no protocol is known")
        if own.name not in _ASKED:
            raise DataError(
                f"{place} is of the protocol {own.name}, whose tools a teacher does not have here: take rows of "
                f"{', '.join(_ASKED)}, or --mode"
            )
        return own, problem
    protocol = find_protocol(_MODES[mode])
    if own is not None and own.name == protocol.name:
        return protocol, problem
    known = known_system(problem.prompt)
    if known is None and own is not None and own.agent_name == protocol.agent_name:
        return protocol, problem
    if known is None:
        raise DataError(
            f"{place}: --mode {mode} would change its system prompt, which is none of prompts.py: prepare the file "
            f"with `verl-coder data prepare ... --protocol {protocol.name}`"
        )
    text = system_prompt(language=known[1], protocol=protocol.name)
    prompt: tuple[Message, ...] = ({"role": "system", "content": text}, *problem.prompt[1:])
    return protocol, replace(problem, prompt=prompt, agent_name=protocol.agent_name)


def _key(problem: Problem, protocol: ToolProtocol, sampling: Sampling, offer: Offer) -> str:
    asked: dict[str, Any] = {
        "prompt": list(problem.prompt),
        "request": sampling.identity(),
        "seed": sampling.seed,
        "agent": problem.agent_name,
    }
    if protocol.tags is not None:
        runs = [one.model_dump(exclude={"sandbox_url", "type"}) | _NO_OUTPUT for one in offer.settings]
        schemas = [dict(schema) for schema in offer.schemas]
        one_tool = not offer.keeps_state
        asked["tool"] = {"settings": runs[0] if one_tool else runs, "prelude": problem.tool_prelude}
        if not protocol.in_turn:
            asked["schema"] = {"tool": schemas[0] if one_tool else schemas, "structured": offer.structured}
    return digest(asked)
