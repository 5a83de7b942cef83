"""Samples that end while others are on their way go together; none is lost, and none waits for a clock."""

import asyncio
import inspect
from types import CodeType
from typing import Any

import pytest
import torch
import transfer_queue
import verl.trainer.ppo.v1.agent_loop_tq as agent_loop_tq
from ray import cloudpickle
from tensordict import TensorDict

from verl_coder.trainer.evaluation.workers import CoderAgentLoopWorker
from verl_coder.trainer.rollout_puts import JoinedPuts, put_together


class Queue:
    """TransferQueue's put: takes what it is given when `open` is set; a key in `refused` fails the request."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.open = refused, asyncio.Event()
        self.requests: list[list[str]] = []
        self.rows: dict[str, tuple[str, dict[str, Any], Any]] = {}

    async def put(self, keys: list[str], fields: TensorDict, tags: list[Any], partition_id: str) -> None:
        self.requests.append(keys)
        await self.open.wait()
        if refused := set(keys) & set(self.refused):
            raise ValueError(f"refused {sorted(refused)}")
        for number, key in enumerate(keys):
            row = {name: fields[name][number] for name in fields.keys()}  # noqa: SIM118
            self.rows[key] = (partition_id, row, tags[number])


def put(puts: JoinedPuts, key: str, **columns: Any) -> "asyncio.Task[None]":
    row = {"ids": torch.arange(len(key)), "note": key, **columns}
    return asyncio.ensure_future(puts.put([key], [row], [{"of": key}], "train"))


async def on_its_way(queue: Queue, puts: JoinedPuts, key: str) -> "asyncio.Task[None]":
    """A put whose request the queue has and does not answer yet."""
    task = put(puts, key)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.requests == [[key]]
    return task


async def test_samples_that_end_while_a_put_is_on_its_way_go_in_one_request() -> None:
    queue = Queue()
    puts = JoinedPuts(queue.put)
    first = await on_its_way(queue, puts, "a")
    others = [put(puts, key) for key in ("bb", "ccc", "d")]
    await asyncio.sleep(0)
    queue.open.set()
    await asyncio.gather(first, *others)
    assert queue.requests == [["a"], ["bb", "ccc", "d"]]
    for key, (partition, row, tag) in queue.rows.items():
        assert (partition, row["ids"].tolist(), tag) == ("train", list(range(len(key))), {"of": key})
        assert row["note"] == key


async def test_rows_with_other_columns_and_of_other_partitions_are_put_apart_in_their_order() -> None:
    queue = Queue()
    queue.open.set()
    puts = JoinedPuts(queue.put)
    row = {"ids": torch.arange(2), "note": "v"}
    held_out = asyncio.ensure_future(puts.put(["v"], [row], [{}], "val"))
    await asyncio.gather(held_out, put(puts, "a"), put(puts, "b", more=1), put(puts, "c"))
    assert queue.requests == [["v"], ["a", "c"], ["b"]]
    assert queue.rows["v"][0] == "val" and queue.rows["b"][1]["more"] == 1


async def test_a_row_that_is_refused_takes_none_of_the_others_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue("bad")
    puts = JoinedPuts(queue.put)
    queue.open.set()
    found = await asyncio.gather(*(put(puts, key) for key in ("a", "bad", "c")), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), ValueError, type(None)]
    assert sorted(queue.rows) == ["a", "c"]
    assert "3 samples go into TransferQueue one by one: ValueError(\"refused ['bad']\")" in caplog.text


async def test_a_sample_that_was_given_up_before_its_request_is_not_put_beside_its_second_attempt() -> None:
    queue = Queue()
    puts = JoinedPuts(queue.put)
    first = await on_its_way(queue, puts, "first")
    given_up, other = put(puts, "again", attempt=1), put(puts, "b", attempt=1)
    await asyncio.sleep(0)
    given_up.cancel()
    second = put(puts, "again", attempt=2)
    queue.open.set()
    await asyncio.gather(first, other, second)
    assert queue.requests == [["first"], ["b", "again"]]
    assert queue.rows["again"][1]["attempt"] == 2


async def test_nobody_waits_for_a_request_that_was_cancelled() -> None:
    queue = Queue()
    puts = JoinedPuts(queue.put)
    asked = await on_its_way(queue, puts, "a")
    behind = put(puts, "b")
    await asyncio.sleep(0)
    assert puts._task is not None and queue.requests == [["a"]]
    puts._task.cancel()
    for waiting in (asked, behind):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)
    queue.open.set()
    await asyncio.wait_for(put(puts, "later"), 5)
    assert list(queue.rows) == ["later"]


@pytest.mark.parametrize("text_only", [True, False])
async def test_the_column_of_pictures_is_left_out_for_a_model_of_text_alone(text_only: bool) -> None:
    queue = Queue()
    queue.open.set()
    puts = JoinedPuts(queue.put, text_only=text_only)
    await asyncio.gather(
        put(puts, "a", multi_modal_inputs={}), put(puts, "b", multi_modal_inputs={"image": 1})
    )
    assert queue.requests == [["a", "b"]]
    assert all(("multi_modal_inputs" in row) is not text_only for _, row, _ in queue.rows.values())


@pytest.fixture
def worker() -> Any:
    """verl's class as a worker gets it: with names of its own."""
    sent = cloudpickle.loads(cloudpickle.dumps(CoderAgentLoopWorker.__ray_metadata__.modified_class))  # type: ignore[attr-defined]
    return next(one for one in sent.__mro__ if one.__name__ == "AgentLoopWorkerTQ")


def test_verls_worker_puts_its_samples_so(worker: Any) -> None:
    postprocess = inspect.unwrap(worker._agent_loop_postprocess)
    assert postprocess.__globals__ is not vars(agent_loop_tq)
    put_together(worker._agent_loop_postprocess.__get__(object()), text_only=True)
    assert postprocess.__globals__["tq"].async_kv_batch_put.__func__ is JoinedPuts.put
    assert postprocess.__globals__["list_of_dict_to_tensordict"] is list
    assert {"tq", "list_of_dict_to_tensordict"} <= set(_names_of(postprocess.__code__))
    assert agent_loop_tq.tq is transfer_queue


def _names_of(code: CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names_of(part)]
    return [*code.co_names, *inner]
