"""What is in prepared files: counts, lengths, tests per problem, and a few rendered rows."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from verl_coder.data.prepared import iter_rows
from verl_coder.errors import ConfigError, DataError
from verl_coder.files import is_there
from verl_coder.paths import check_tools_file, is_hub_name
from verl_coder.problems import CheckTests, Problem, PytestTests, TestSuite
from verl_coder.protocols import describes_tools

CountTokens = Callable[[Problem], int]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")

_ASSERT = re.compile(r"^\s*assert\b", re.MULTILINE)
_TEST_FUNCTION = re.compile(r"^\s*(?:async\s+)?def test\w*", re.MULTILINE)


@dataclass(kw_only=True)
class Statistics:
    """Distributions over the rows of some files; lengths are lists, one entry a row."""

    rows: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    difficulties: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    agents: Counter[str] = field(default_factory=Counter)
    difficulty_by_source: Counter[tuple[str, str]] = field(default_factory=Counter)
    prompt_chars: list[int] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    tests: list[int] = field(default_factory=list)
    test_kb: list[float] = field(default_factory=list)
    reference_lines: list[int] = field(default_factory=list)
    pass_rates: list[float] = field(default_factory=list)
    without_reference: int = 0
    over_long: int = 0
    examples: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem, *, tokens: int | None, max_prompt_tokens: int | None) -> None:
        """Count one row."""
        self.rows += 1
        self.sources[problem.data_source] += 1
        self.splits[problem.split] += 1
        self.difficulties[problem.difficulty] += 1
        self.difficulty_by_source[problem.data_source, problem.difficulty] += 1
        self.styles[problem.tests.style] += 1
        self.agents[problem.agent_name] += 1
        self.prompt_chars.append(sum(len(message["content"]) for message in problem.prompt))
        self.tests.append(count_tests(problem.tests))
        self.test_kb.append(len(problem.tests.to_json()) / 1024)
        if problem.reference_solution:
            self.reference_lines.append(problem.reference_solution.count("\n") + 1)
        else:
            self.without_reference += 1
        if problem.pass_rate is not None:
            self.pass_rates.append(problem.pass_rate)
        if tokens is not None:
            self.prompt_tokens.append(tokens)
            self.over_long += max_prompt_tokens is not None and tokens > max_prompt_tokens


def collect(
    paths: Sequence[Path],
    *,
    count_tokens: CountTokens | None = None,
    max_prompt_tokens: int | None = None,
    examples: int = 3,
) -> Statistics:
    """Statistics of all rows of `paths`; as examples the first row of each split of each dataset, then further ones."""
    statistics = Statistics()
    spare: list[Problem] = []
    shown: set[tuple[str, str]] = set()
    for path in paths:
        for number, row in enumerate(iter_rows(path)):
            problem = _problem(row, f"{path}[{number}]")
            tokens = count_tokens(problem) if count_tokens else None
            statistics.add(problem, tokens=tokens, max_prompt_tokens=max_prompt_tokens)
            kind = (problem.data_source, problem.split)
            if len(statistics.examples) < examples and kind not in shown:
                shown.add(kind)
                statistics.examples.append(problem)
            elif len(spare) < examples:
                spare.append(problem)
    statistics.examples += spare[: examples - len(statistics.examples)]
    return statistics


def count_tests(tests: TestSuite) -> int:
    """Number of tests as a reader counts them: a check's asserts, a pytest module's functions."""
    if isinstance(tests, CheckTests):
        return max(1, len(_ASSERT.findall(tests.check)))
    if isinstance(tests, PytestTests):
        return max(1, len(_TEST_FUNCTION.findall(tests.test)))
    return len(tests)


def need_tokenizer() -> NoReturn:
    """ConfigError: what was asked for counts tokens."""
    raise ConfigError(
        "--tools, --chat-template-kwargs and --max-prompt-tokens count tokens: give --tokenizer too"
    )


def token_counter(
    tokenizer: str, tools: Path | None, template_options: Mapping[str, Any] | None = None
) -> CountTokens:
    """Prompt tokens as the trainer counts them: chat template, the tools that a row is told of, generation prompt."""
    _check_tokenizer(tokenizer)
    schemas = _tool_schemas(tools) if tools else None
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot load tokenizer {tokenizer!r}: {str(error).splitlines()[0]}") from error
    if loaded.chat_template is None:
        raise ConfigError(f"tokenizer {tokenizer!r} has no chat template")

    def count(problem: Problem) -> int:
        ids = loaded.apply_chat_template(
            [dict(message) for message in problem.prompt],
            tools=schemas if describes_tools(problem.agent_name) else None,  # type: ignore[arg-type]
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **(template_options or {}),
        )
        return len(ids)

    return count


def _check_tokenizer(name: str) -> None:
    """ConfigError where it is neither a folder with a tokenizer nor a name that the hub could have."""
    folder = Path(name).expanduser()
    if is_there(folder):
        if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
            raise ConfigError(
                f"--tokenizer {name} holds no tokenizer ({' or '.join(_TOKENIZER_FILES)}): name a model's folder"
            )
    elif not is_hub_name(name):
        raise ConfigError(f"--tokenizer {name}: no such folder, and not a name on the hub (owner/name)")


def _tool_schemas(path: Path) -> list[dict[str, Any]]:
    check_tools_file(path, f"--tools {path}")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [tool["tool_schema"] for tool in config["tools"]]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--tools {path} holds no tools (a list `tools:` whose entries have a tool_schema): name a file of "
            "tool_config/"
        ) from error


def _problem(row: dict[str, Any], place: str) -> Problem:
    try:
        return Problem.from_row(row)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
