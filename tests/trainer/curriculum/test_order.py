"""The order of problems under a curriculum, and its exact resume."""

import json

import pytest

from verl_coder.trainer.curriculum.order import CurriculumLoader, CurriculumOrder

STAGES = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, None, None]


def order(mix_in: float = 0.25, seed: int = 1) -> CurriculumOrder:
    return CurriculumOrder(STAGES, seed=seed, mix_in=mix_in)


def test_the_first_stage_draws_only_its_own_rows() -> None:
    drawn = order().batch(6, 0)
    assert sorted(drawn) == [0, 1, 2, 3, 4, 5]


def test_later_stages_mix_in_their_share_of_earlier_ones() -> None:
    o = order(mix_in=0.3)
    stages = [STAGES[row] for _ in range(10) for row in o.batch(4, 2)]
    assert stages.count(2) == 40 - 12
    assert stages.count(0) == stages.count(1) == 6


def test_no_row_comes_twice_before_all_have_come() -> None:
    o = order(mix_in=0.0)
    assert sorted(o.batch(4, 1) + o.batch(4, 1)) == list(range(6, 14))


def test_a_batch_across_two_passes_has_no_row_twice() -> None:
    o = order(mix_in=0.0)
    for _ in range(50):
        batch = o.batch(5, 1)
        assert len(set(batch)) == 5


@pytest.mark.parametrize("done", [0, 37])
def test_a_batch_that_is_drawn_one_by_one_has_no_row_twice_either(done: int) -> None:
    o = CurriculumOrder([0] * 20, seed=1, mix_in=0.0, window=16)
    drawn = [o.batch(1, 0)[0] for _ in range(done)]
    other = CurriculumOrder([0] * 20, seed=1, mix_in=0.0, window=16)
    other.restore(json.loads(json.dumps(o.state())))
    drawn += [other.batch(1, 0)[0] for _ in range(400 - done)]
    assert all(len(set(drawn[first : first + 16])) == 16 for first in range(400 - 16))
    assert all(18 <= drawn.count(row) <= 22 for row in range(20))


def test_a_stage_of_fewer_rows_than_a_batch_is_drawn_one_by_one_too() -> None:
    o = CurriculumOrder([0] * 3, seed=1, mix_in=0.0, window=16)
    assert sorted(o.batch(1, 0)[0] for _ in range(9)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("rows", "size"), [(10, 8), (10, 3), (7, 7), (3, 5), (1, 4)])
def test_a_row_that_was_skipped_at_the_border_of_two_passes_is_drawn_next(rows: int, size: int) -> None:
    o = CurriculumOrder([0] * rows, seed=1, mix_in=0.0)
    drawn = dict.fromkeys(range(rows), 0)
    for _ in range(200):
        for row in o.batch(size, 0):
            drawn[row] += 1
        assert max(drawn.values()) - min(drawn.values()) <= 1


def test_a_checkpoint_of_before_knows_no_skipped_rows() -> None:
    state = order().state()
    del state["skipped"]
    o = order()
    o.restore(state)
    assert o.batch(4, 0) == order().batch(4, 0)


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    o = order(mix_in=0.0)
    assert o.batch(8, 1) != o.batch(8, 1)
    assert order(mix_in=0.0, seed=2).batch(8, 1) != order(mix_in=0.0).batch(8, 1)


@pytest.mark.parametrize("done", [0, 1, 2, 5, 13])
def test_a_restored_order_goes_on_exactly(done: int) -> None:
    stages = [0] * 3 + [1] * 6 + [2] * 9
    straight = order(mix_in=0.3)
    batches = [straight.batch(4, stage) for stage in stages]
    before = order(mix_in=0.3)
    for stage in stages[:done]:
        before.batch(4, stage)
    after = order(mix_in=0.3)
    after.restore(json.loads(json.dumps(before.state())))
    assert [after.batch(4, stage) for stage in stages[done:]] == batches[done:]


def test_data_of_another_size_is_refused() -> None:
    state = order().state() | {"rows": 7}
    with pytest.raises(ValueError, match="7 rows"):
        order().restore(state)


def test_the_loader_follows_the_stage_at_once() -> None:
    stage = 0
    loader = CurriculumLoader(
        [f"row {i}" for i in range(len(STAGES))],
        order(mix_in=0.0),
        batch_size=2,
        stage=lambda: stage,
        collate_fn=lambda rows: {"rows": rows},
    )
    assert all(STAGES[int(row.split()[1])] == 0 for row in next(iter(loader))["rows"])
    stage = 2
    assert all(STAGES[int(row.split()[1])] == 2 for row in next(iter(loader))["rows"])
