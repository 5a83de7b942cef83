"""Where the tests' names are known, the answer is the last block that defines one, with what it needs of others."""
# ruff: noqa: E501 - tables of answers

import time
from typing import Any

import pytest

from verl_coder.extraction import extract, extract_code

CUBE = "def cube(x):\n    return x ** 3\n"
ASKED = (frozenset({"cube"}),)


def fenced(*codes: str, label: str = "python") -> str:
    """An answer of blocks with words between them."""
    return "".join(f"Look:\n```{label}\n{code.rstrip()}\n```\n" for code in codes)


def run(code: str | None) -> dict[str, Any]:
    """The names of a module with the code."""
    assert code is not None
    names: dict[str, Any] = {"__name__": "solution"}
    exec(compile(code, "solution", "exec"), names)
    return names


def cube_of_three(*codes: str) -> Any:
    return run(extract_code(fenced(*codes), asked=ASKED))["cube"](3)


DISTRACTORS = [
    "def brute(x):\n    return sum([x * x] * x)",
    "def cube_rec(x, n=3):\n    return 1 if n == 0 else x * cube_rec(x, n - 1)",
    "a = [1]\nb = a\nb.append(2)\nprint(a)",
    'print("hello")',
    "import logging\nlogging.basicConfig(level=logging.INFO)",
    "import time\n\ndef timed(fn):\n    def inner(*args):\n        return fn(*args)\n    return inner",
    "x = 2\nresult = x ** 3  # 8",
    "x = 2\nreturn 8",
    "for i in range(10):\n    total += i",
    "x = int(input())\nprint(x)",
    "class Node:\n    def __init__(self, val):\n        self.val = val",
    "from solution import cube\n\nassert cube(2) == 8",
    "def main():\n    print(cube(int(input())))\n\nmain()",
    "def cube(x):\n    raise NotImplementedError",
    'def cube(x):\n    """Three times itself."""\n    # TODO\n    raise NotImplementedError("later")',
    "def cube(x: int) -> int: ...",
    "class TestCube:\n    def test_two(self):\n        assert cube(2) == 8",
]


@pytest.mark.parametrize("shown", DISTRACTORS)
@pytest.mark.parametrize("label", ["python", ""])
def test_a_block_that_does_not_define_the_name_is_never_the_answer(shown: str, label: str) -> None:
    assert extract_code(f"```{label}\n{CUBE}```\n{fenced(shown)}", asked=ASKED) == CUBE
    assert extract_code(f"{fenced(shown)}```{label}\n{CUBE}```\n", asked=ASKED) == CUBE


@pytest.mark.parametrize(
    "later",
    [
        "def cube(x):\n    return x * x * x\n",
        "cube = lambda x: x * x * x\n",
        "if True:\n    def cube(x):\n        return x ** 3\n",
    ],
)
def test_of_several_attempts_the_last_one_counts(later: str) -> None:
    assert extract_code(fenced("def cube(x):\n    return x\n", later), asked=ASKED) == later


HELPERS = [
    ("MOD = int(1e9 + 7)", "def cube(x):\n    return x ** 3 % MOD"),
    ("from collections import defaultdict\nT = defaultdict(int)", "def cube(x):\n    T[x] = x ** 3\n    return T[x]"),
    ("def square(x):\n    return x * x\nprint(square(1))", "def cube(x):\n    return x * square(x)"),
    ("T = [0] * 9\nfor i in range(9):\n    T[i] = i ** 3", "def cube(x):\n    return T[x]"),
    ("def fill(n):\n    T.extend(i ** 3 for i in range(n))\n\nT = []\nfill(9)", "def cube(x):\n    return T[x]"),
    ("import math", "def cube(x):\n    return int(math.pow(x, 3))"),
    ("from __future__ import annotations\n\ndef square(x: int) -> int:\n    return x * x", "def cube(x):\n    return x * square(x)"),
    ("class Base:\n    def power(self, x):\n        return x ** 3", "class Cuber(Base):\n    pass\n\ndef cube(x):\n    return Cuber().power(x)"),
    ("def same(fn):\n    return fn", "@same\ndef cube(x):\n    return x ** 3"),
    ("def square(x):\n    return x * x", "from __future__ import annotations\n\ndef cube(x):\n    return x * square(x)"),
    ("def square(x):\n    return x * x", "def cube(x):\n    return x * square(x)\n\nprint(cube(2))"),
    ("def test_it():\n    assert cube(2) == 8\n\ndef square(x):\n    return x * x\n\ntest_it()\nassert square(2) == 4", "def cube(x):\n    return x * square(x)"),
]  # fmt: skip


@pytest.mark.parametrize(("helper", "main"), HELPERS)
def test_a_helper_before_or_behind_the_answer_is_joined(helper: str, main: str) -> None:
    assert cube_of_three(helper, main) == 27
    assert cube_of_three(main, helper) == 27
    assert cube_of_three(main, "def unrelated():\n    return 1", helper, "print(cube(3))") == 27


def test_what_a_helpers_block_only_shows_is_not_joined(capsys: pytest.CaptureFixture[str]) -> None:
    helper = 'def square(x):\n    return x * x\n\nn = int(input())\nprint(square(n))\nif __name__ == "solution":\n    raise ValueError'
    assert cube_of_three(helper, "def cube(x):\n    return x * square(x)") == 27
    assert capsys.readouterr().out == ""


def test_a_block_that_only_uses_the_answer_is_not_joined() -> None:
    main, use = "def cube(x):\n    return x ** 3 + 0 * OFFSET\n", "OFFSET = 1\nraise_it = cube(OFFSET) / 0"
    code = extract_code(fenced(main, use), asked=ASKED)
    assert run(code)["cube"](3) == 27


SQUARE = "def square(x):\n    return x * x"
WRONG = "def square(x):\n    return x + x"
MAIN = "def cube(x):\n    return x * square(x)"


@pytest.mark.parametrize(
    "codes",
    [
        (WRONG, SQUARE, MAIN),
        (WRONG, MAIN, SQUARE),
        (f"{WRONG}\n\n{MAIN}", SQUARE),
        (MAIN, WRONG, SQUARE),
        (f"{WRONG}\n\n{MAIN}", WRONG, SQUARE, "print(cube(3))"),
    ],
)
def test_the_last_definition_of_a_helper_counts(codes: tuple[str, ...]) -> None:
    assert cube_of_three(*codes) == 27


@pytest.mark.parametrize(
    "later",
    [
        "def square(x, y):\n    return 0",
        "def square(x):\n    raise NotImplementedError",
        "def square(x):\n    return 0\n\ndef brute(x):\n    return square(x)",
        "def square(x):\n    return 0\n\nprint(square(2))",
    ],
)
def test_a_later_helper_of_another_form_or_purpose_corrects_nothing(later: str) -> None:
    assert cube_of_three(f"{SQUARE}\n\n{MAIN}", later) == 27


def test_all_names_that_are_asked_for_are_found_wherever_they_stand() -> None:
    asked = (frozenset({"encode"}), frozenset({"decode"}))
    encode, decode = "def encode(s):\n    return s[::-1]", "def decode(s):\n    return s[::-1]"
    for codes in ((encode, decode), (decode, encode), (encode, decode, "print(decode(encode('a')))")):
        names = run(extract_code(fenced(*codes), asked=asked))
        assert names["decode"](names["encode"]("ab")) == "ab"


def test_of_two_names_for_one_thing_the_last_one_counts() -> None:
    asked = (frozenset({"Solution", "cube"}),)
    first = "class Solution:\n    def cube(self, x):\n        return x\n"
    assert extract_code(fenced(first, CUBE), asked=asked) == CUBE
    wrapped = extract_code(fenced(first, "def cube(x):\n    return Solution().cube(x)"), asked=asked)
    assert run(wrapped)["cube"](3) == 3


METHOD = (frozenset({"Solution.cube", "cube"}),)
CLASS = "class Solution:\n    def cube(self, x):\n        return x * self.square(x)\n\n    def square(self, x):\n        return x * x\n"


@pytest.mark.parametrize(
    "shown",
    [
        "class Solution:\n    def square(self, x):\n        return x ** 2",
        "class Solution:\n    def cube(self, x: int) -> int:\n        pass",
        "class Solution:\n    def cube(self, x: int) -> int:\n        raise NotImplementedError",
        "s = Solution()\ncube = s.cube\nprint(cube(3))",
        "class Solution:\n    pass",
    ],
)
def test_a_part_of_the_class_is_not_the_answer(shown: str) -> None:
    assert extract_code(fenced(CLASS, shown), asked=METHOD) == CLASS


def test_a_class_may_have_its_method_from_another_one() -> None:
    base = "class Base:\n    def cube(self, x):\n        return x ** 3"
    for codes in ((base, "class Solution(Base):\n    pass"), ("class Solution(Base):\n    pass", base)):
        assert run(extract_code(fenced(*codes), asked=METHOD))["Solution"]().cube(3) == 27


def test_where_no_block_defines_the_name_the_choice_is_the_one_without_names() -> None:
    text = fenced("def other(x):\n    return x", "print(other(2))")
    assert extract_code(text, asked=ASKED) == extract_code(text) == "def other(x):\n    return x\n"


@pytest.mark.parametrize(
    "text", ["", "I do not know.", "```bash\nls\n```", "cube", "It is `cube = lambda x: x`."]
)
def test_names_make_no_code_where_there_is_none(text: str) -> None:
    assert extract_code(text, asked=ASKED) is None


def test_an_answer_whose_fence_is_left_open_wins_over_a_block_without_the_name() -> None:
    found = extract(fenced("def helper():\n    return 1") + f"Then:\n```python\n{CUBE}", asked=ASKED)
    assert (found.code, found.fenced) == (CUBE, False)


@pytest.mark.parametrize("label", ["solution", "text", "pyhton"])
def test_a_block_of_no_sure_language_wins_over_a_block_without_the_name(label: str) -> None:
    assert extract_code(f"```{label}\n{CUBE}```\n{fenced('print(cube(2))')}", asked=ASKED) == CUBE


def test_nothing_of_an_answer_is_run() -> None:
    text = fenced(
        "import os\nos._exit(3)\nsquare = 1", "def cube(x):\n    return square", "__import__('os')._exit(3)"
    )
    assert "def cube" in (extract_code(text, asked=ASKED) or "")


@pytest.mark.parametrize("name", ["f0", "cube", "nowhere"])
@pytest.mark.parametrize("count", [200, 2000])
def test_many_blocks_that_need_each_other_hold_up_nothing(name: str, count: int) -> None:
    body = "    y = [x + 1 for x in range(3)]\n" * (2000 // count)
    text = "".join(
        f"```python\ndef f{i}(x):\n{body}    return f{i + 1}(x)\n\nprint(f{i})\n```\n" for i in range(count)
    )
    start = time.process_time()
    extract(f"{text}```python\n{CUBE}```", asked=(frozenset({name}),))
    assert time.process_time() - start < 3


CHAIN = "".join(f"elif n == {i}:\n    m = {i}\n" for i in range(1, 2500))


@pytest.mark.parametrize(
    "code",
    [
        f"n = 1\nif n == 0:\n    m = 0\n{CHAIN}\n\n{CUBE}",
        f"n = 1\nif n == 0:\n    m = 0\n{CHAIN}else:\n    {CUBE.replace(chr(10), chr(10) + '    ').rstrip()}\n",
        "".join("    " * i + f"class A{i}:\n" for i in range(90)) + "    " * 90 + f"pass\n\n\n{CUBE}",
        f"n = {'1+' * 5000}1\n{CUBE}",
    ],
    ids=["before", "inside", "classes", "sum"],
)
@pytest.mark.parametrize("asked", [(), ASKED])
def test_deep_code_is_code_like_any_other(code: str, asked: Any) -> None:
    assert extract_code(fenced(code), asked=asked) is not None
    assert extract_code(fenced(code, "print(cube(2))"), asked=asked) is not None
    assert extract_code(fenced("def helper():\n    return 1", code), asked=asked) is not None
