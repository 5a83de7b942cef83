"""Completions from a grammar: whatever stands around it, the code that was put in comes out, to the letter.

`python tests/test_extraction_fuzz.py 10000` runs more of them than the test does.
"""

import ast
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from verl_coder.extraction import extract_code
from verl_coder.protocols import PROTOCOLS

CASES = 400
TAGS = sorted(
    {mark for p in PROTOCOLS.values() if p.tags for mark in p.tags if mark}
    | {
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "<|im_end|>",
        "<|endoftext|>",
        "```",
        "~~~",
        "```python",
    }
)
NAMES = ("solve", "f", "dbl", "is_prime", "merge_sort")
DRAFT = "```python\ndef draft():\n    raise ValueError\n```"


def _string_with_tag(pick: random.Random) -> str:
    first, second = pick.choice(TAGS), pick.choice(TAGS)
    return f'def {pick.choice(NAMES)}(x):\n    return x.replace("{first}", "{second}")\n'


def _multiline_string(pick: random.Random) -> str:
    first, second = pick.choice(TAGS), pick.choice(TAGS)
    return f'TEMPLATE = """\n{first}\n{{}}\n{second}\n"""\n\n\ndef page(x):\n    return TEMPLATE.format(x)\n'


def _docstring_with_fence(pick: random.Random) -> str:
    fence, label = pick.choice(["```", "~~~"]), pick.choice(["", "python", "text"])
    return (
        f'def {pick.choice(NAMES)}(x):\n    """Twice x.\n\n    {fence}{label}\n    >>> dbl(2)\n    4\n'
        f'    {fence}\n    """\n    return 2 * x\n'
    )


def _program(pick: random.Random) -> str:
    return pick.choice(
        [
            "n = int(input())\nprint(2 * n)\n",
            "import sys\n\nfor line in sys.stdin:\n    print(line[::-1].strip())\n",
            "for line in open(0):\n\tprint(2 * int(line))\n",
            "t = int(input())\nwhile t:\n    a, b = map(int, input().split())\n    print(a + b)\n    t -= 1\n",
        ]
    )


def _function(pick: random.Random) -> str:
    body = pick.choice(
        ["return 2 * x", "# half of it\n    return x // 2", "if x < 0:\n        return 0\n\n    return x"]
    )
    head = pick.choice(["", "import math\n\n\n", "from typing import List\n\n\n", "# Time: O(n)\n"])
    return f"{head}def {pick.choice(NAMES)}(x):\n    {body}\n"


def _class(pick: random.Random) -> str:
    method = "    def run(self, s: str) -> str:\n        return s\n"
    return f'@dataclass\nclass Solution:\n    """Of {pick.choice(NAMES)}."""\n\n{method}'


CODES: list[Callable[[random.Random], str]] = [
    _string_with_tag,
    _multiline_string,
    _docstring_with_fence,
    _program,
    _function,
    _class,
]
LABELS = [
    "python",
    "Python",
    "py",
    "python3",
    "python3.11",
    "python:solution.py",
    'python title="x"',
    "{.python}",
    "",
]
THOUGHTS = [
    "",
    "<think>Double it.</think>\n",
    "<think>\nFirst a draft.\n\n" + DRAFT + "\n\nGood.\n</think>\n\n",
    "I should double it.\n</think>\n\n",
    "<think>\nI begin\n```python\nx = (\nand leave it.\n</think>\n",
    "<think>\nThe tag <tool_call> is not needed, nor\n<program>\nnor `</output>`.\n</think>\n",
    '<think>\n```python\ns = s.split("</think>")[1]\n```\nThat does it.\n</think>\n',
]
BEFORE = [
    "",
    "Here is my answer.\n\n",
    "### Solution\n\nWe read `n` and double it:\n",
    "1. Read.\n2. Double.\n\n",
    "I did not need the <tool_call> and </tool_call> tags, nor <output>.\n\n",
    "First try:\n" + DRAFT + "\n\nThat is wrong. Final:\n",
    "> A quotation of the problem\n\n",
    "```text\n3 -> 6\n```\n",
    "- one\n- two\n\n",
]
AFTER = [
    "",
    "\n",
    "\n\nIt runs in O(n).\n",
    "\n\nIt prints:\n```\n6\n```\n",
    "\n\n```text\n3 -> 6\n```\n",
    "\nFor the input 2 it gives:\n<output>\n4\n</output>\n",
    "<|im_end|>",
    "\n<|im_end|>\n<|endoftext|>",
    "\n</answer>",
    "\n\nI used neither <think> nor a <program> tag.",
    "\n\n```pycon\n>>> f(2)\n4\n```",
]
TURNS = [
    "",
    '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "```python\\nwrong()\\n```"}}\n</tool_call>'
    "\nuser\n<tool_response>\n```python\nwrong()\n```\n</tool_response>\nassistant\n",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n1\n'
    "</tool_response><|im_end|>\n<|im_start|>assistant\n",
    "<think>Try.</think>\n<program>\ndef wrong():\n    pass\n</program>\n<output>\n```python\nwrong()\n</output>\n",
    "Let me see.\n```python\n<program>\nprint(1)\n</program>\n<output>\n1\n</output>\n",
    f"{DRAFT}\nuser\n<feedback>\ntest 1: failed: f(1) is 2, want 3\n</feedback>\nassistant\n",
    f"<think>\nHow?\n{DRAFT}user\n\n<feedback>\n```python\nwrong()\n</feedback>\nassistant\n\n",
    f"{DRAFT}<|im_end|>\n<|im_start|>user\n<feedback>\nError\n</feedback><|im_end|>\n<|im_start|>assistant\n",
    f"{DRAFT}<feedback>\ntest 1: passed\n</feedback>\n",
]


BESIDE_A_FUNCTION = [
    "def brute(x):\n    return sum([x, x])",
    "a = [1]\nb = a\nprint(b)",
    'print("hello")',
    "import logging\nlogging.basicConfig(level=logging.INFO)",
    "def timed(fn):\n    def inner(*args):\n        return fn(*args)\n    return inner",
    "x = 2\nresult = x * 2  # 4",
    "x = 2\nreturn x * 2",
    "for i in range(10):\n    total += i",
    "n = int(input())\nprint(n)",
]
BESIDE_A_PROGRAM = [
    "n = int(input())",
    "import sys\ninput = sys.stdin.readline",
    "print(2 * n)",
    "def brute(n):\n    return n + n",
    "for i in range(10):\n    total += i",
    "return 2 * n",
    "import random\nprint(random.randint(1, 9))",
]
"""Blocks behind the answer that are none."""
HELPER, MAIN = "def twin(x):\n    return x + x\n", "def {}(x):\n    return twin(x)\n"


@dataclass(frozen=True)
class Case:
    completion: str
    code: str
    asked: tuple[frozenset[str], ...] = ()

    def found(self) -> str | None:
        return extract_code(self.completion, asked=self.asked)


def make_case(seed: int) -> Case:
    """A completion: turns, then thinking, prose, a block (or none, or with others beside it), prose."""
    pick = random.Random(seed)
    code = pick.choice(CODES)(pick)
    around = pick.choice(TURNS) * pick.choice([0, 0, 1, 2]) + pick.choice(THOUGHTS)
    if pick.random() < 0.12:
        return Case(
            _ending(around + _bare(pick, code := pick.choice([_program, _function])(pick)), pick), code
        )
    before, after = pick.choice(BEFORE), pick.choice(AFTER)
    label = pick.choice(LABELS)
    names = [node.name for node in ast.parse(code).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    form = pick.choice(["alone", "alone", "beside", "beside", "helper"])
    if form == "alone":
        if not label and DRAFT in before:
            label = "python"  # an unlabelled block is no rival of a labelled one where nobody knows the names
        return Case(_ending(around + before + _block(pick, code, label) + after, pick), code)
    if form == "helper":
        name = pick.choice(NAMES)
        parts = [HELPER, MAIN.format(name)]
        pick.shuffle(parts)
        code, names = "\n".join(parts), [name]
        blocks = "\n\nAnd:\n".join(_block(pick, part, label) for part in parts)
    else:
        blocks = _block(pick, code, label)
    for _ in range(pick.choice([0, 1, 1, 2]) if form == "helper" else pick.choice([1, 1, 2, 3])):
        beside = pick.choice(BESIDE_A_FUNCTION if names else BESIDE_A_PROGRAM)
        blocks += f"\n\nBy the way:\n```{pick.choice(['python', ''])}\n{beside}\n```\n"
    asked = tuple(frozenset({name}) for name in names)
    return Case(_ending(around + before + blocks + after, pick), code, asked)


def _block(pick: random.Random, code: str, label: str) -> str:
    fence = pick.choice(["```", "```", "```", "````", "~~~"])
    space = pick.choice(["", "", " "])
    form = pick.choice(
        ["plain", "plain", "plain", "list", "quote", "answer", "glued", "bold", "dot", "prose"]
    )
    block = f"{fence}{space}{label}\n{code}{fence}"
    if form == "list":
        return "1. So:\n" + "".join(f"   {line}" if line.strip() else line for line in block.splitlines(True))
    if form == "quote":
        return "".join(f"> {line}" for line in block.splitlines(True))
    if fence[0] == "~":
        return block
    if form == "answer":
        return f"<answer>{block}</answer>"
    if form == "glued":
        return f"{fence}{space}{label}\n{code.rstrip()}{fence}"
    return {"bold": f"{block}**", "dot": f"{block}.", "prose": f"Here: {block}"}.get(form, block)


def _bare(pick: random.Random, code: str) -> str:
    before = pick.choice(["", "The program reads n and doubles it.\n\n", "Solution:\n", "<answer>\n"])
    after = pick.choice(["", "\n", "```\n", "```\n\nIt doubles n.", "\nThat is all it takes.", "</answer>"])
    return before + code + after


def _ending(text: str, pick: random.Random) -> str:
    return text.replace("\n", "\r\n") if pick.random() < 0.1 else text


@pytest.mark.parametrize("start", range(0, CASES, 100))
def test_the_code_that_was_put_in_comes_out(start: int) -> None:
    for seed in range(start, start + 100):
        case = make_case(seed)
        assert case.found() == case.code, f"seed {seed}:\n{case.completion}"


if __name__ == "__main__":
    wrong = []
    for number in range(int(sys.argv[1])):
        made = make_case(number)
        if made.found() != made.code:
            wrong.append(number)
    print(f"{len(wrong)} wrong of {sys.argv[1]}: {wrong[:20]}")
