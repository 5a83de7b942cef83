"""Duplicates: punctuation and case do not hide one, another number or word is another problem."""

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
