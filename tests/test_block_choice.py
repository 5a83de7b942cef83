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


MAIN = "import sys\n\ndef main():\n    n = int(sys.stdin.readline())\n    print(n + 1)\n\nmain()\n"


@pytest.mark.parametrize(
    "shown",
    [
        "import io\nsys.stdin = io.StringIO('3\\n')\nmain()\n",
        f"from io import StringIO\n{MAIN[:-8]}\nsys.stdin = StringIO('3')\nmain()\n",
    ],
)
def test_a_block_that_feeds_a_program_with_an_input_of_its_own_is_not_the_answer(shown: str) -> None:
    assert extract_code(f"```python\n{MAIN}```\nTest it like this:\n```python\n{shown}```") == MAIN


def test_a_program_that_reads_its_input_through_a_buffer_is_one() -> None:
    later = MAIN.replace("def main", "import io\nsys.stdin = io.StringIO(sys.stdin.read())\n\ndef main")
    assert extract_code(f"```python\n{MAIN}```\nFaster:\n```python\n{later}```") == later


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


WHOLE = "n = int(input())\nprint(n ** 3)\n"


@pytest.mark.parametrize(
    "shown",
    [
        "n = int(input())",
        "import sys\ninput = sys.stdin.readline",
        "print(n ** 3)",
        "n ** 3",
        "for i in range(10):\n    total += i",
        "n = 2\nreturn n ** 3",
        "def brute(n):\n    return sum([n * n] * n)",
        "import random\nprint(random.randint(1, 9))",
        "class Cuber:\n    def __init__(self, n):\n        self.n = n",
        'input = "3"\nprint(len(input))',
        "def main():\n    n = int(input())\n    print(n)",
    ],
)
@pytest.mark.parametrize("label", ["python", ""])
def test_a_whole_program_wins_over_what_does_not_both_read_and_print(shown: str, label: str) -> None:
    assert extract_code(f"```{label}\n{WHOLE}```\nOf it:\n```python\n{shown}\n```") == WHOLE
    assert extract_code(f"```{label}\n{WHOLE}```\nOf it:\n```\n{shown}\n```") == WHOLE


@pytest.mark.parametrize(
    "second",
    [
        "import sys\nsys.stdout.write(str(int(sys.stdin.read()) ** 3))\n",
        "print(sum(map(int, open(0))))\n",
        "def main():\n    print(int(input()) ** 3)\n\nmain()\n",
    ],
)
def test_of_two_whole_programs_the_second_counts(second: str) -> None:
    assert extract_code(f"```python\n{WHOLE}```\nCorrected:\n```python\n{second}```") == second


@pytest.mark.parametrize("call", ["main()", 'if __name__ == "__main__":\n    main()'])
def test_a_call_in_a_block_of_its_own_runs_the_program(call: str) -> None:
    main = "def main():\n    print(int(input()) ** 3)\n"
    assert extract_code(f"```python\n{main}```\nand\n```python\n{call}\n```") == f"{main}\n{call}\n"


@pytest.mark.parametrize(
    "parts",
    [
        ["n = int(input())", "print(n * 2)"],
        ["import sys", "data = sys.stdin.read().split()", "n = int(data[0])", "print(n)"],
        ["n = int(input())\na = list(map(int, input().split()))", "a.sort()", "print(a[0])"],
        ["n = int(input())", "n = n + 1\nprint(n)"],
        ["n = int(input())", "def double(n):\n    return 2 * n", "print(double(n))"],
    ],
)
def test_blocks_of_which_only_the_last_prints_are_one_program(parts: list[str]) -> None:
    answer = "\nThen\n".join(f"```python\n{part}\n```" for part in parts)
    assert extract_code(answer) == "\n".join(f"{part}\n" for part in parts)


@pytest.mark.parametrize(
    "blocks, answer",
    [
        (["n = int(input())\nprint(n)", "print(n * 2)"], 0),
        (["print(int(input()) ** 3)", "n = int(input())", "print(n ** 3)"], 0),
        (["n = int(input())", "n = int(input())\nprint(n)"], 1),
        (["n = 5", "print(n)"], 0),
    ],
)
def test_a_block_that_prints_behind_another_one_is_no_part_of_a_program(
    blocks: list[str], answer: int
) -> None:
    text = "\nThen\n".join(f"```python\n{block}\n```" for block in blocks)
    assert extract_code(text) == f"{blocks[answer]}\n"


def test_a_part_that_reads_is_the_answer_where_it_is_all_there_is() -> None:
    assert extract_code("```python\nn = int(input())\n```") == "n = int(input())\n"


@pytest.mark.parametrize(
    "shown", ["print(cube(2))", "assert cube(2) == 8", "for i in range(3):\n    print(cube(i))"]
)
def test_a_label_makes_no_answer_of_a_block_that_shows_how_one_without_is_used(shown: str) -> None:
    assert extract_code(f"```\n{CUBE}```\nUse:\n```python\n{shown}\n```") == CUBE


@pytest.mark.parametrize(
    "label",
    [
        "code",
        "solution",
        "answer",
        "Answer",
        "snippet",
        "text",
        "txt",
        "plaintext",
        "none",
        "pyhton",
        "pycon",
    ],
)
def test_a_block_whose_label_says_nothing_is_the_answer_where_there_is_no_other(label: str) -> None:
    found = extract(f"So:\n```{label}\n{CUBE}```\nDone.")
    assert (found.code, found.fenced) == (CUBE, True)
    assert extract_code(f"```{label}\n1\n8\n```\n```python\n{CUBE}```") == CUBE
    assert extract_code(f"```python\n{CUBE}```\n```{label}\n{WHOLE}```") == CUBE


@pytest.mark.parametrize(
    "data", ["8", "x = 1", "[1, 2]", "Yes", "3 5\n1 2", "cube(2) = 8", "for the rest: see above"]
)
@pytest.mark.parametrize("label", ["text", "code", "answer"])
def test_data_in_such_a_block_is_no_answer(data: str, label: str) -> None:
    assert extract_code(f"```{label}\n{data}\n```") is None


@pytest.mark.parametrize("label", ["cpp", "java", "bash", "json", "js"])
def test_a_block_of_another_language_is_never_the_answer(label: str) -> None:
    assert extract_code(f"```{label}\n{CUBE}```") is None


@pytest.mark.parametrize("tag", ["answer", "code", "solution", "final_answer"])
@pytest.mark.parametrize("head", ["", "import math\n\n\n"])
def test_code_may_follow_a_tag_on_its_line(tag: str, head: str) -> None:
    for closing in (f"</{tag}>", f"\n</{tag}>"):
        assert extract_code(f"So:\n<{tag}>{head}{CUBE.rstrip()}{closing}\nDone.") == head + CUBE


def test_a_tag_in_a_string_of_bare_code_stays() -> None:
    code = 'def mark(s):\n    return "<answer>" + s + "</answer>"\n'
    assert extract_code(f"So:\n{code}\nThat is all.") == code


@pytest.mark.parametrize("label", ["python ", "py ", ""])
def test_code_and_both_fences_may_stand_on_one_line(label: str) -> None:
    assert extract_code(f"So:\n```{label}cube = lambda x: x ** 3```\nDone.") == "cube = lambda x: x ** 3\n"


@pytest.mark.parametrize("line", ["```x = 1```", "```cube```", "```print(cube(2))```", "```bash ls```"])
def test_a_line_in_fences_that_defines_nothing_is_no_code(line: str) -> None:
    assert extract_code(f"So:\n{line}\nDone.") is None


TYPED = ">>> def cube(x):\n...     return x ** 3\n...\n>>> cube(2)\n8\n"


@pytest.mark.parametrize("label", ["python", "", "pycon", "python-repl", "text"])
def test_a_transcript_of_the_interpreter_is_what_was_typed(label: str) -> None:
    assert extract_code(f"```{label}\n{TYPED}```") == f"{CUBE}\ncube(2)\n"


def test_a_transcript_loses_to_code() -> None:
    for order in ((CUBE, TYPED), (TYPED, CUBE)):
        assert extract_code("".join(f"Look:\n```python\n{code}```\n" for code in order)) == CUBE


@pytest.mark.parametrize(
    "stub",
    [
        "def cube(x): pass",
        "def cube(x):\n    raise NotImplementedError",
        "from solution import cube\nprint(cube(2))",
    ],
)
@pytest.mark.parametrize(
    "whole", [f"```python\n{CUBE}", f"```solution\n{CUBE}```\n", f"```text\n{CUBE}```\n", f"\n{CUBE}"]
)
def test_a_stub_in_a_whole_block_is_not_the_answer_where_the_code_stands_anywhere(
    stub: str, whole: str
) -> None:
    answer = f"The signature:\n```python\n{stub}\n```\nThe answer:\n{whole}"
    assert (extract_code(answer, asked=[frozenset({"cube"})]) or "").strip() == CUBE.strip()


def test_a_class_without_the_method_asked_for_is_not_the_answer_where_one_with_it_is_cut_off() -> None:
    whole = "class Solution:\n    def cube(self, x):\n        return x ** 3\n"
    answer = f"```python\nclass Solution: pass\n```\n```python\n{whole}"
    assert extract_code(answer, asked=[frozenset({"Solution.cube"})]) == whole


def test_a_stub_is_the_answer_where_there_is_no_other() -> None:
    stub = "def cube(x): pass\n"
    assert extract_code(f"```python\n{stub}```", asked=[frozenset({"cube"})]) == stub
