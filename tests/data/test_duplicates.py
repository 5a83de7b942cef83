"""Duplicates: punctuation and case do not hide one, another number or word is another problem."""

import math

import pytest

from verl_coder.data.duplicates import DuplicateIndex, Statement

LONG = (
    "Given a list of folders, return the folders after removing all sub-folders in those folders. "
    "You may return the answer in any order. A folder is a path that starts with a slash."
)


def pairs(*texts: str) -> list[tuple[str, str, str]]:
    index = DuplicateIndex()
    found = [index.add(Statement(key=str(number), text=text)) for number, text in enumerate(texts)]
    return [(pair.key, pair.other, pair.kind) for pair in found if pair is not None]


def test_case_punctuation_and_space_do_not_hide_an_exact_duplicate() -> None:
    assert pairs("Sort a list, please.", "sort  a LIST\nplease") == [("1", "0", "exact")]


def test_a_few_changed_words_make_a_near_duplicate() -> None:
    assert pairs(LONG, "Something else entirely about trees", LONG.replace("answer", "result")) == [
        ("2", "0", "near")
    ]


def test_problems_of_one_kind_are_not_duplicates() -> None:
    assert (
        pairs(
            "Write a function to find the nth catalan number.",
            "Write a function to find the median of two sorted lists of same size.",
            "Write a function to find the largest palindrome in a string.",
        )
        == []
    )


def test_the_first_of_several_is_the_one_that_stays() -> None:
    assert pairs(LONG, LONG, LONG + "!") == [("1", "0", "exact"), ("2", "0", "exact")]


def test_what_repeats_a_held_out_problem_is_found_though_that_one_repeats_another() -> None:
    words = [f"w{number}" for number in range(40)]
    second = [*words[:36], "b1", "b2", "b3", "b4"]
    index = DuplicateIndex()
    for key, held_out in (("first", words), ("second", second)):
        index.add(Statement(key=key, text=" ".join(held_out)), always=True)
    found = index.add(Statement(key="train", text=" ".join(["t1", "t2", "t3", "t4", *second[4:]])))
    assert found is not None and (found.other, found.kind) == ("second", "near")


@pytest.mark.parametrize("similarity", [0.3, 0.4, 0.5, 0.7, 0.9])
def test_pairs_a_little_above_any_similarity_are_found(similarity: float) -> None:
    index, words = DuplicateIndex(similarity=similarity), 200
    common = math.ceil(2 * words * (similarity + 0.02) / (1 + similarity + 0.02)) + 2
    for pair in range(60):
        first = [f"p{pair}w{number}" for number in range(words)]
        second = [*first[:common], *(f"p{pair}v{number}" for number in range(words - common))]
        assert index.add(Statement(key=f"a{pair}", text=" ".join(first))) is None
        found = index.add(Statement(key=f"b{pair}", text=" ".join(second)))
        assert found is not None and found.other == f"a{pair}"


def test_statements_without_spaces_between_words_are_compared_by_their_characters() -> None:
    text = (
        "给你一个整数数组和一个整数目标值，请你在该数组中找出和为目标值的那两个整数，并返回它们的数组下标。"
    )
    thai = "เขียนฟังก์ชันที่รับรายการของจำนวนเต็มและคืนค่าผลรวมของจำนวนคู่ทั้งหมดในรายการนั้น"
    for one, other in ((text, text.replace("中", "里")), (thai, thai.replace("คู่", "คี่"))):
        assert [kind for *_, kind in pairs(one, other)] == ["near"]
    assert pairs(text, "给定一个字符串，请找出其中不含有重复字符的最长子串的长度。") == []
