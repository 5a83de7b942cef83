"""Output of programs, compared as competition checkers do."""

# ruff: noqa: E501 - tables of cases

import pytest

from verl_coder.grading.programs.compare import same_text


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("1 2\n", "1 2"), ("1 2  \r\n\n3\n\n", "1 2\n3"), ("0.3333333\n", "0.33333333"), ("1e-7", "0.0"), ("2.0", "2"),
        ("Case 1: 0.50000001", "Case 1: 0.5"), ("", "\n"), ("1  2", "1 2"), ("nan", "nan"),
    ],
)  # fmt: skip
def test_the_same(got, expected):
    assert same_text(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("", "1"), ("1", ""), ("2 1", "1 2"), ("1\n2", "1 2"), ("1.0001", "1.0"), ("100000001", "100000000"),
        ("YES", "Yes"), ("1 2 3", "1 2"), ("nan", "1.0"), ("inf", "1.0"), ("1_0", "10"), ("9007199254740993.0", "9007199254740992"),
        ("0x10", "16"), ("٣", "3"), ("debug\n1", "1"), ("10", "010"),
    ],
)  # fmt: skip
def test_different(got, expected):
    assert not same_text(got, expected)


def test_numbers_of_a_million_digits_do_not_raise():
    assert not same_text("1" * 10**6, "2.0" * 10**5)
