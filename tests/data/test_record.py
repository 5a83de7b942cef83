"""How a column is read, whatever form a copy of the dataset stores it in."""

import json
from typing import Any

import pytest
from pydantic import AliasChoices, Field

from verl_coder.data import (
    Code,
    Entries,
    Label,
    Labels,
    Number,
    Record,
    RowError,
    Statements,
    can_fail,
    parse_json,
    parse_record,
    parse_value,
)

TESTS = ["assert f(1) == 2", "assert f('a, b') == [1]"]


class Row(Record):
    """One column of each kind."""

    number: Number = 0
    code: Code = ""
    tests: Statements = Field(default_factory=list)
    tags: Labels = Field(default_factory=list)
    level: Label = "unknown"
    infos: Entries = Field(default_factory=list)
    meta: dict[str, Any] = Field(default_factory=dict)
    text: str = Field(default="", validation_alias=AliasChoices("text", "prompt"))


def read(**columns: Any) -> Row:
    return parse_record(Row, columns)


@pytest.mark.parametrize("stored", [TESTS, tuple(TESTS), json.dumps(TESTS), repr(TESTS), repr(tuple(TESTS))])
def test_a_list_may_be_stored_as_a_list_or_as_json_or_as_pythons_repr(stored: Any) -> None:
    assert read(tests=stored).tests == TESTS


@pytest.mark.parametrize(
    ("stored", "tests"),
    [
        ("\n".join(TESTS), TESTS),
        ("\r\n".join(TESTS), TESTS),
        (
            "x = 1\nassert f(x) == (\n    2\n)\nassert f(3)",
            ["x = 1\nassert f(x) == (\n    2\n)", "assert f(3)"],
        ),
        ("for x in (1, 2):\n    assert f(x)\n", ["for x in (1, 2):\n    assert f(x)"]),
        ("# only a comment\n", []),
        (["", "  ", "# nothing", "assert f(1)"], ["assert f(1)"]),
        ("assert f(1) == [1, 2]", ["assert f(1) == [1, 2]"]),
    ],
)
def test_tests_in_a_text_end_with_their_asserts_and_empty_ones_are_none(
    stored: Any, tests: list[str]
) -> None:
    assert read(tests=stored).tests == tests


@pytest.mark.parametrize(
    "stored", ["601", "0601", "Mbpp/601", "MBPP_601", "mbpp-601", "mbpp-601.0", " 601 ", 601, 601.0, "601.0"]
)
def test_a_number_may_stand_behind_the_name_of_its_dataset(stored: Any) -> None:
    assert read(number=stored).number == 601


@pytest.mark.parametrize("stored", ["Mbpp", {"a": 1}, [1]])
def test_what_is_no_number_is_named(stored: Any) -> None:
    with pytest.raises(RowError, match="'number'"):
        read(number=stored)


@pytest.mark.parametrize(
    "stored", [["Math", "Array"], '["Math", "Array"]', "['Math', 'Array']", "Math, Array"]
)
def test_labels_may_be_a_list_or_words_with_commas(stored: Any) -> None:
    assert read(tags=stored).tags == ["Math", "Array"]


@pytest.mark.parametrize("stored", [7, {"a": 1}, None, float("nan"), "", "[", [None]])
def test_a_label_that_cannot_be_read_never_costs_the_record(stored: Any) -> None:
    row = read(tags=stored, level=stored)
    assert row.tags in ([], ["["]) and isinstance(row.level, str)


@pytest.mark.parametrize(
    ("stored", "infos"),
    [
        ({"a": 1}, [{"a": 1}]),
        ("{'a': 1}", [{"a": 1}]),
        ('[{"a": 1}]', [{"a": 1}]),
        ({}, []),
        (None, []),
        ("f", []),
        (7, []),
        ([None, {"a": 1}], [{"a": 1}]),
    ],
)
def test_a_list_of_objects_may_be_its_only_object(stored: Any, infos: Any) -> None:
    assert read(infos=stored).infos == infos


def test_an_object_stays_one() -> None:
    assert read(meta={"a": 1}).meta == read(meta="{'a': 1}").meta == {"a": 1}


@pytest.mark.parametrize("empty", [None, "", float("nan")])
def test_of_two_names_of_a_column_the_filled_one_is_read(empty: Any) -> None:
    assert read(text=empty, prompt="b").text == "b" and read(text="a", prompt=empty).text == "a"


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here it is:\n\n```\nx = 1\n```\nThat was it.", "x = 1\n"),
        ('x = """\n```python\ny = 1\n```\n"""', 'x = """\n```python\ny = 1\n```\n"""'),
        ("print 1 # ``", "print 1 # ``"),
        ("    x = '```'\n    return x\n", "    x = '```'\n    return x\n"),
    ],
)
def test_code_may_stand_in_a_fenced_block(stored: str, code: str) -> None:
    assert read(code=stored).code == code


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("{'a': None}", {"a": None}), ("(1, 'b')", (1, "b"))]
)
def test_a_value_is_json_or_a_python_literal(text: str, value: Any) -> None:
    assert parse_value(text) == value and parse_json("x", text) == value


@pytest.mark.parametrize("text", ["abc", "[oops", "print(1)", "[" * 100_000, "1 +"])
def test_what_is_neither_is_a_value_error_and_a_named_column(text: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        parse_value(text)
    with pytest.raises(RowError, match="column 'x' is not JSON"):
        parse_json("x", text)


@pytest.mark.parametrize(
    "test",
    [
        "assert x",
        "if x:\n    raise Exception",
        "self.assertEqual(1, x)",
        "with pytest.raises(E):\n    x()",
        "self.fail()",
        "pytest.fail('x')",
        "np.testing.assert_allclose(x, 1)",
        "assert ( # does not parse",
    ],
)
def test_tests_that_can_fail_are_tests(test: str) -> None:
    assert can_fail(test)


@pytest.mark.parametrize("test", ["", "print(x)", "# assert", "x = 'assert'", "print("])
def test_tests_that_cannot_fail_are_none(test: str) -> None:
    assert not can_fail(test)
