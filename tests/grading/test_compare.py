"""Output of programs, compared as competition checkers do."""

# ruff: noqa: E501 - tables of cases

from fractions import Fraction

import pytest

from verl_coder.grading.programs.compare import same_json, same_text


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("1 2\n", "1 2"), ("1 2  \r\n\n3\n\n", "1 2\n3"), ("0.3333333\n", "0.33333333"), ("1e-7", "0.0"), ("2.0", "2"),
        ("Case 1: 0.50000001", "Case 1: 0.5"), ("", "\n"), ("1  2", "1 2"), ("nan", "nan"),
        (" 1", "1"), (" yes", "yes"), ("-0", "0"), ("05", "5"), ("1e18", "1000000000000000000"), ("YES\nNO", " YES\nNO"), ("a b", " a b"), ("YES\x0b\n", "YES"), ("1\u00a0", "1"), ("0.1234567 0.2", "0.1234566 0.2"), ("1234567.9", "1234567.90"), ("a\r\nb\r\n", "a\nb"),
    ],
)  # fmt: skip
def test_the_same(got, expected):
    assert same_text(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("", "1"), ("1", ""), ("2 1", "1 2"), ("1\n2", "1 2"), ("1.0001", "1.0"), ("100000001", "100000000"),
        ("YES", "Yes"), ("1 2 3", "1 2"), ("nan", "1.0"), ("inf", "1.0"), ("1_0", "10"), ("9007199254740993.0", "9007199254740992"),
        ("0x10", "16"), ("٣", "3"), ("debug\n1", "1"), ("agent 10", "agent 010"), ("2e999", "9e999"), ("999999999999999999999.5", "999999999999999999999.4"), ("3.14150", "3.14159265358979323846264338327950288"), ("x 1", "x 01"),
        ("100000000000000000000", "100000000000000000001"), ("1e20", "100000000000000000001"), ("100000000000000000000.0", "100000000000000000000.5"), ("1e400", "1.0"), ("1.0", "1e400"),
        ("1234567", "1234567.9"), ("*\n***", "  *\n ***"), ("a  b", "a b"), ("a\fb", "a\nb"), ("1\x0c2", "1 2"), ("1\u20282", "1\n2"),
        ("\u0661", "1"), ("x 1  2", "x 1 2"),
    ],
)  # fmt: skip
def test_different(got, expected):
    assert not same_text(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("2.3333333333333335", "2.33333333333333348136"), ("33.333333333333336", "33.33333333333333333333333333"),
        ("142857.14285714287", "142857.142857142857146"), ("x 0.5", "x 0.5000000000000000000000001"), ("1.5e30", "1.4999999999999999e30"),
        ("1e-30", "0.000000000000000000000000000001234567890123456789012345"), ("12345678901234567890.5", "12345678901234567890.6"), ("123456789012345678901.50", "123456789012345678901.5"),
    ],
)  # fmt: skip
def test_digits_behind_the_point_ask_for_no_more_than_the_tolerance(got, expected):
    assert same_text(got, expected)


def test_a_long_word_of_digits_takes_no_time():
    assert not same_text("no", "1" * 50_000 + "x")
    assert not same_text("1" * 390 + "x", "1" * 390 + "y")


def test_numbers_of_a_million_digits_do_not_raise():
    assert not same_text("1" * 10**6, "2.0" * 10**5)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.1 + 0.2, 0.3), (2.0, 2), (2, 2.0), (10**23, 1e23), (1, 1.0000001), (10**9 + 0.5, 1e9), (True, 1.0), (4.9999999, 5), ((1, 2), [1, 2]), ({1: 2}, {"1": 2}), (Fraction(1, 2), 0.5),
        ({True: 1, False: 2}, {"true": 1, "false": 2}), ({None: [1]}, {"null": [1]}), ({1.5: {True: 1}}, {"1.5": {"true": 1}}),
    ],
)  # fmt: skip
def test_the_same_values(got, expected):
    assert same_json(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (10**15 + 5.0, 10**15 + 7),
        (10**9 + 1, 1e9),
        ([-(10**7) - 1], [-1e7]),
        (float(10**18 + 1), 10**18 + 1),
        (1, "1"),
        ([], [1]),
        (0.0, 1e-3),
        (float("inf"), 5),
        (1e300, 10**400),
        ({True: 1}, {"1": 1}),
        ({True: 1}, {"True": 1}),
        ({True: 1, "true": 2}, {"true": 2}),
        ({None: 1}, {"": 1}),
    ],
)
def test_different_values(got, expected):
    assert not same_json(got, expected)
