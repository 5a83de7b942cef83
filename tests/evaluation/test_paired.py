"""Comparison of two evaluations: differences, the exact test, and what is said of it."""

import random
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import pytest
from scipy.stats import binomtest

from verl_coder.evaluation import randomisation
from verl_coder.evaluation.paired import compare_paired, holm
from verl_coder.evaluation.pass_at_k import mean_pass_at_k
from verl_coder.evaluation.randomisation import ALL_DEALS, drawn_deals, redraw_p_value


def test_with_one_sample_a_problem_it_is_mcnemars_exact_test() -> None:
    for won, lost in ((12, 3), (5, 5), (30, 10), (1, 0)):
        pairs = [((1, 0), (1, 1))] * won + [((1, 1), (1, 0))] * lost + [((1, 1), (1, 1))] * 40
        assert redraw_p_value(pairs).value == pytest.approx(binomtest(won, won + lost).pvalue)


def all_deals(pairs: list[Any]) -> float:
    """The p-value by counting."""

    def dealt(first: tuple[int, int], second: tuple[int, int]) -> list[Fraction]:
        samples = [1] * (first[1] + second[1]) + [0] * (first[0] + second[0] - first[1] - second[1])
        found = []
        for chosen in combinations(range(len(samples)), second[0]):
            passed = sum(samples[place] for place in chosen)
            found.append(Fraction(passed, second[0]) - Fraction(sum(samples) - passed, first[0]))
        return found

    observed = abs(sum(Fraction(b[1], b[0]) - Fraction(a[1], a[0]) for a, b in pairs))
    sums = [abs(sum(values)) >= observed for values in product(*(dealt(*pair) for pair in pairs))]
    return sum(sums) / len(sums)


def test_the_p_value_is_that_of_all_ways_to_deal_the_samples() -> None:
    rng = random.Random(1)
    one_kind = [((2, rng.randrange(3)), (3, rng.randrange(4))) for _ in range(4)]
    many_kinds = [((1, 1), (3, 1)), ((2, 0), (3, 2)), ((1, 0), (2, 1)), ((2, 2), (3, 3)), ((2, 1), (2, 0))]
    alike = [((2, rng.randrange(3)), (2, rng.randrange(3))) for _ in range(3)]
    for pairs in (one_kind, many_kinds, alike):
        assert redraw_p_value(pairs) == (pytest.approx(all_deals(pairs), abs=1e-12), ALL_DEALS)


def test_without_a_problem_that_tells_anything_there_is_no_difference() -> None:
    assert redraw_p_value([((2, 2), (3, 3)), ((2, 0), (3, 0))]).value == 1.0


def test_random_draws_come_near_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [((1, 0), (20, 1))] * 19 + [((1, 0), (20, 0))] * 11
    assert redraw_p_value(few).value == pytest.approx(drawn_deals(few).value, abs=0.01)
    monkeypatch.setattr(randomisation, "_MOST_WORK", 100)
    assert "random deals" in redraw_p_value(few).how


@pytest.mark.parametrize(
    ("first_n", "second_n", "how"),
    [
        ([100], [64], "exact, over all ways"),
        ([20], [7], "exact, over all ways"),
        ([100], [100], "exact, over all ways"),
        ([97, 98, 99, 100], [61, 62, 63, 64], "random deals"),
        ([997, 998, 999, 1000], [997, 998, 999, 1000], "random deals"),
    ],
)
def test_five_hundred_problems_are_compared_exactly_where_that_takes_seconds_and_by_draws_elsewhere(
    first_n: list[int], second_n: list[int], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomisation, "_MOST_DRAWN", 1_000_000)
    rng = random.Random(0)

    def counts(sizes: list[int]) -> dict[str, tuple[int, int]]:
        drawn = {str(i): sizes[i % len(sizes)] for i in range(500)}
        return {name: (n, rng.randint(0, n)) for name, n in drawn.items()}

    found = compare_paired("a", counts(first_n), "b", counts(second_n))
    assert how in found.p_value_how and 0 < found.p_value <= 1


def test_a_rare_pass_among_many_samples_is_no_win_over_a_greedy_answer() -> None:
    greedy = {str(i): (1, 0) for i in range(30)}
    sampled = {str(i): (20, int(i < 19)) for i in range(30)}
    assert not compare_paired("greedy", greedy, "sampled", sampled).significant


def test_a_sample_more_or_less_does_not_change_what_is_asked() -> None:
    first = {str(i): (20, 5) for i in range(3)}
    found = [compare_paired("a", first, "b", {str(i): (n, 15) for i in range(3)}) for n in (19, 20)]
    assert all(one.p_value < 1e-7 for one in found)
    assert all("on these problems; of others like them it is not sure" in one.verdict() for one in found)


def test_a_tie_is_no_difference_however_its_parts_are_added_up() -> None:
    counts = ((10, 1), (10, 2), (10, 6)), ((10, 2), (10, 4), (10, 3))
    first, second = (dict(zip("xyz", one, strict=True)) for one in counts)
    found = compare_paired("a", first, "b", second)
    assert found.difference == 0 and "neither better nor worse" in found.verdict()


def test_a_probability_too_small_for_a_number_is_not_called_0() -> None:
    found = compare_paired(
        "a", {str(i): (1, 0) for i in range(1500)}, "b", {str(i): (1, 1) for i in range(1500)}
    )
    assert "(p < 1e-300)" in found.verdict()


def test_counts_of_different_sizes_are_compared_by_their_rates() -> None:
    found = compare_paired("a", {"x": (2, 1), "y": (2, 0)}, "b", {"x": (4, 2), "y": (4, 4)})
    assert (found.won, found.lost, found.difference) == (("y",), (), 0.5)


def test_problems_that_only_one_side_has_do_not_count() -> None:
    found = compare_paired("a", {"x": (1, 1), "only a": (1, 0)}, "b", {"x": (1, 1), "only b": (1, 1)})
    assert found.problems == 1 and found.difference == 0
    assert "alike on each of 1 problems" in found.verdict()


def test_a_clear_difference_is_more_than_noise_and_its_interval_leaves_out_nothing() -> None:
    first = {str(i): (1, int(i < 40)) for i in range(100)}
    second = {str(i): (1, int(i < 70)) for i in range(100)}
    found = compare_paired("base", first, "trained", second)
    assert found.significant and found.interval is not None and found.interval[0] > 0.19
    assert (
        "trained is 30.0 points better than base" in found.verdict() and "more than noise" in found.verdict()
    )
    back = compare_paired("trained", second, "base", first)
    assert back.p_value == found.p_value and back.interval is not None and back.interval[1] < -0.19


def test_a_difference_that_chance_would_give_is_called_noise() -> None:
    first = {str(i): (1, i % 2) for i in range(20)}
    second = first | {"0": (1, 1), "2": (1, 1), "1": (1, 0)}
    found = compare_paired("a", first, "b", second)
    assert not found.significant and "no more than noise" in found.verdict()


def test_pass_at_k_is_compared_where_there_are_samples() -> None:
    first = {str(i): (10, 1) for i in range(10)}
    second = {str(i): (10, 10 if i else 0) for i in range(10)}
    found = compare_paired("a", first, "b", second, ks=(1, 10))
    assert found.differences_at_k[1][0] == pytest.approx(0.8)
    assert found.differences_at_k[10][0] == pytest.approx(-0.1)


def test_holm_corrects_in_the_order_given() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]


def test_a_rate_is_the_one_that_the_evaluation_itself_gives() -> None:
    """Sums of floats in two orders made 0.3725 a 0.373 here and a 0.372 there."""
    random_counts = random.Random(0)
    for _ in range(50):
        counts = {f"p/{problem}": (20, random_counts.randrange(21)) for problem in range(200)}
        exact = mean_pass_at_k(reversed(counts.values()), 1)
        assert compare_paired("a", counts, "b", counts).rates == (exact, exact)
