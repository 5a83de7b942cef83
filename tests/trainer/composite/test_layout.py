"""Added rows reach every (rank, mini-batch) block, and no rollout changes its block."""

import pytest

from verl_coder.trainer.composite.layout import Layout


def _blocks(layout: Layout, rows: list[str], per_block: int) -> dict[tuple[int, int], list[str]]:
    """What verl makes of the rows: contiguous parts for the ranks, contiguous blocks within."""
    size = layout.block_rows + per_block
    return {
        (rank, number): rows[(rank * layout.mini_batches + number) * size :][:size]
        for rank in range(layout.dp_size)
        for number in range(layout.mini_batches)
    }


@pytest.mark.parametrize(("dp_size", "mini_batch_rows"), [(1, 12), (1, 4), (2, 4), (3, 6), (2, 12)])
def test_every_block_gets_its_share_and_keeps_its_rollouts(dp_size: int, mini_batch_rows: int) -> None:
    layout = Layout(rows=12, dp_size=dp_size, mini_batch_rows=mini_batch_rows)
    batch = [f"r{i}" for i in range(12)]
    added = [[f"t{number}-{i}" for i in range(3)] for number in range(layout.mini_batches)]
    filler = [f"f{i}" for i in range(layout.filler_rows(added))]
    per_block = layout.added_per_block(added)
    blocks = _blocks(layout, layout.interleave(batch, added, filler), per_block)
    before = _blocks(layout, batch, 0)
    for (rank, number), rows in blocks.items():
        assert [row for row in rows if row[0] == "r"] == before[rank, number]
        assert all(row.startswith(f"t{number}-") for row in rows if row[0] == "t")
        assert len([row for row in rows if row[0] == "t"]) in (3 // dp_size, -(-3 // dp_size))
    everything = [row for rows in blocks.values() for row in rows]
    assert sorted(everything) == sorted(batch + [t for group in added for t in group] + filler)


def test_mini_batch_numbers_agree_with_the_blocks() -> None:
    layout = Layout(rows=8, dp_size=2, mini_batch_rows=4)
    assert layout.mini_batch_of == [0, 0, 1, 1, 0, 0, 1, 1]


def test_blocks_stay_multiples_of_the_micro_batch() -> None:
    layout = Layout(rows=8, dp_size=1, mini_batch_rows=4)
    added = [["t0"], ["t1", "t2", "t3"]]
    assert layout.added_per_block(added, multiple=2) == 4
    assert layout.filler_rows(added, multiple=2) == 4


def test_nothing_is_added_where_there_is_nothing_to_add() -> None:
    layout = Layout(rows=8, dp_size=2, mini_batch_rows=4)
    assert layout.interleave(list("abcdefgh"), [[], []], [], multiple=2) == list("abcdefgh")


def test_added_rows_are_spread_over_the_micro_batches() -> None:
    layout = Layout(rows=4, dp_size=1, mini_batch_rows=4)
    assert layout.interleave(list("abcd"), [["T", "U"]], []) == ["a", "T", "b", "c", "U", "d"]
