"""Of several blocks, the answer is the last one that can stand for it."""
# ruff: noqa: E501 - tables of answers

import pytest

from verl_coder.extraction import extract, extract_code

CUBE = "def cube(x):\n    return x ** 3\n"
ANSWER = f"So:\n```python\n{CUBE}```\n"
PROGRAM = "def cube(x):\n    return x ** 3\n\nprint(cube(int(input())))\n"


@pytest.mark.parametrize(
    "shown",
    [
        "print(cube(2))  # 8",
        "assert cube(2) == 8\nassert cube(-1) == -1",
        "result = cube(3)\nprint(result)",
        "from solution import cube\n\nprint(cube(2))",
        "def test_cube():\n    assert cube(2) == 8",
        "import unittest\n\nclass TestCube(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(cube(2), 8)\n\nunittest.main()",
        "def cube(x):\n    ...",
        'def cube(x: int) -> int:\n    """Three times itself."""\n    pass',
        "return x ** 3",
        "x ** 3",
        "import numpy as np",
        "# O(1) time, O(1) space",
        ">>> cube(2)\n8",
    ],
)
@pytest.mark.parametrize("label", ["python", ""])
def test_what_is_shown_behind_the_answer_is_not_the_answer(shown: str, label: str) -> None:
    assert extract_code(f"{ANSWER}\nFor example:\n```{label}\n{shown}\n```\nDone.") == CUBE


@pytest.mark.parametrize(
    "later",
    [
        "def cube(x):\n    return x * x * x\n",
        "cube = lambda x: x * x * x\n",
        "n = int(input())\nprint(n ** 3)\n",
    ],
)
def test_a_later_block_that_needs_no_other_is_the_answer(later: str) -> None:
    assert extract_code(f"{ANSWER}\nBetter:\n```python\n{later}```") == later


def test_a_helper_in_a_block_of_its_own_belongs_to_the_block_that_needs_it() -> None:
    code = extract_code(
        "First:\n```python\nimport math\nLIMIT = 9\n```\nA helper:\n```python\ndef root(x):\n    return min(LIMIT, math.isqrt(x))\n```\n"
        "Unrelated:\n```python\ndef other():\n    return 1\n```\nThen:\n```python\ndef cube(x):\n    return root(x) ** 3\n```"
    )
    assert code is not None and "other" not in code
    names: dict = {}
    exec(code, names)
    assert names["cube"](16) == 64


def test_the_part_of_a_program_that_reads_its_input_needs_the_functions_above_it() -> None:
    text = f"{ANSWER}\nRead and print:\n```python\nprint(cube(int(input())))\n```\nUsage:\n```python\nprint(cube(3))\n```"
    assert extract_code(text) == f"{CUBE}\nprint(cube(int(input())))\n"


def test_a_program_is_not_run_twice_for_a_block_that_shows_its_use() -> None:
    assert extract_code(f"```python\n{PROGRAM}```\nUse:\n```python\nprint(cube(3))\n```") == PROGRAM


@pytest.mark.parametrize("words", ["Note: this is O(1)", "[DONE]", "Done", "Complexity: O(n) time"])
def test_words_behind_code_without_a_fence_that_happen_to_parse_are_no_code(words: str) -> None:
    assert extract_code(f"{CUBE}\n{words}") == CUBE
    assert extract_code(f"```python\n{CUBE}\n{words}") == CUBE


def test_words_before_code_without_a_fence_are_no_code() -> None:
    assert extract_code(f"[PYTHON]\n{CUBE}[/PYTHON]") == CUBE


@pytest.mark.parametrize("line", ["limit: int", "cube", "cube(2)", "[cube]"])
def test_a_line_of_bare_code_that_only_uses_its_own_names_stays(line: str) -> None:
    assert extract_code(f"{CUBE}\n{line}") == f"{CUBE}\n{line}\n"


@pytest.mark.parametrize("fence", ["````markdown", "````md", "````"])
def test_a_whole_answer_may_stand_in_a_fence(fence: str) -> None:
    found = extract(f"{fence}\n# Answer\n\n```python\n{CUBE}```\nDone.\n````")
    assert (found.code, found.fenced) == (CUBE, True)


@pytest.mark.parametrize("label", ["pypy", "pypy3", "PyPy 3"])
def test_another_interpreter_of_the_same_language_is_python(label: str) -> None:
    assert extract_code(f"```{label}\n{CUBE}```") == CUBE
