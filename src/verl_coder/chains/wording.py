"""A chain as a row: its prompt in two wordings, its tests, and `check()`, which the tools are given."""

from dataclasses import dataclass
from typing import Literal, get_args

from verl_coder.chains.problems import Chain, Split
from verl_coder.errors import ConfigError
from verl_coder.problems import Difficulty, FunctionCase, FunctionTests, Message, Problem
from verl_coder.prompts import build_prompt
from verl_coder.protocols import find_protocol

Tool = Literal["none", "interpreter", "session", "debugger", "debugger_late", "program"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
PROTOCOL: dict[Tool, str] = {
    "none": "none",
    "interpreter": "tool",
    "session": "session",
    "debugger": "debugger",
    "debugger_late": "debugger_late",
    "program": "program",
}
"""The protocol of each tool's rows."""
Wording = Literal["full", "tiny"]

_DIFFICULTY: dict[int, Difficulty] = {1: "easy", 2: "easy", 3: "medium"}
_CHECK = (
    "`check()` is given wherever your code runs: it tests the functions in order{how}, prints ok, or stops at the "
    "first that is wrong."
)


@dataclass(frozen=True, kw_only=True)
class ChainRows:
    """How chains become rows."""

    tool: Tool
    wording: Wording = "full"

    def problem(self, chain: Chain, *, split: Split, index: int = 0) -> Problem:
        """The row's problem; the same chain has the same id, tests and order whatever the tool."""
        return Problem(
            data_source="chains",
            problem_id=chain.identity,
            prompt=self.prompt(chain),
            tests=FunctionTests(
                entry_point="f",
                tests=tuple(FunctionCase(args=(x,), expected=chain.values(x)[-1]) for x in chain.hidden),
            ),
            split="test" if split == "heldout" else "train",
            index=index,
            difficulty=_DIFFICULTY.get(chain.depth, "hard"),
            entry_point="f",
            reference_solution=chain.program(chain.right),
            agent_name=find_protocol(PROTOCOL[self.tool]).agent_name,
            tool_prelude=check_source(chain),
            tags=(chain.kind, f"depth-{chain.depth}"),
        )

    def prompt(self, chain: Chain) -> tuple[Message, ...]:
        """Of the tiny model: one word for the tool, and few for the task."""
        if self.wording == "tiny":
            return (
                {"role": "system", "content": self.tool},
                {"role": "user", "content": f"{_tiny_statement(chain)}\n{visible_test(chain)}"},
            )
        if self.wording != "full":
            raise ConfigError(f"wording is {self.wording!r}; it must be full or tiny")
        return build_prompt(
            _full_statement(chain, told_of_check=self.tool != "none"),
            style="function",
            protocol=PROTOCOL[self.tool],
            entry_point="f",
            examples=[visible_test(chain)] if self.tool == "none" else ["check()", visible_test(chain)],
        )


def visible_test(chain: Chain) -> str:
    """The example as a statement."""
    return f"assert f({chain.example!r}) == {chain.values(chain.example)[-1]!r}"


def check_source(chain: Chain) -> str:
    """`check()`: it stops at the first function that is wrong, and says which, but for a `bug`."""
    values = chain.values(chain.example)
    if chain.kind != "bug":
        wants = {step.name: value for step, value in zip(chain.steps, values, strict=True)}
        return (
            "def check():\n"
            f"    for name, want in {wants!r}.items():\n"
            f'        assert globals()[name]({chain.example!r}) == want, f"{{name}} is wrong"\n'
            '    print("ok")\n'
        )
    names = "".join(step.name for step in chain.steps)
    constants = [step.constants[step.right] for step in chain.steps]
    return (
        "def walk(n):\n"
        f"    name = {names!r}[n]\n"
        f"    got = globals()[name]({chain.example!r})\n"
        f"    k = {constants!r}[n]\n"
        f"    assert got == {values!r}[n]\n"
        f"    if n < {chain.depth - 1}:\n"
        "        walk(n + 1)\n"
        "    else:\n"
        '        print("ok")\n'
        "def check():\n"
        "    walk(0)\n"
    )


def _tiny_statement(chain: Chain) -> str:
    if chain.kind == "bug":
        return f"Mend:\n{chain.program(chain.first)}"
    return "Write " + "\n".join(f"{step.name}(xs): {step.words}." for step in chain.steps)


def _full_statement(chain: Chain, *, told_of_check: bool) -> str:
    how = ""
    if chain.kind == "bug":
        how = ", each call inside the one before, and it keeps the constant that the function should have in `k`"
        words = (
            "One constant of this program is wrong. Mend it, and give all of its functions again.\n"
            f"```python\n{chain.program(chain.first)}\n```"
        )
    else:
        lines = "\n".join(f"- `{step.name}(xs)`: the list of the {step.words}" for step in chain.steps)
        closing = "" if chain.kind == "plain" else "\nWhether a bound itself counts, only the tests tell."
        words = f"Write these functions:\n{lines}{closing}"
    return f"{words}\n{_CHECK.format(how=how)}" if told_of_check else words
