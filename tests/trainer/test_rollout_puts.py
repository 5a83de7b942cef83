"""Samples that end while others are on their way go together; none is lost, and none waits for a clock."""

import asyncio
import inspect
from types import CodeType
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ

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


async def test_samples_that_end_while_a_put_is_on_its_way_go_in_one_request() -> None:
    queue = Queue()
    puts = JoinedPuts(queue.put)
    first = put(puts, "a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.requests == [["a"]]
    others = [put(puts, key) for key in ("bb", "ccc", "d")]
    await asyncio.sleep(0)
    queue.open.set()
    await asyncio.gather(first, *others)
    assert queue.requests == [["a"], ["bb", "ccc", "d"]]
    for key, (partition, row, tag) in queue.rows.items():
        assert (partition, row["ids"].tolist(), tag) == ("train", list(range(len(key))), {"of": key})
        assert row["note"] == key


async def test_rows_with_other_columns_and_of_other_partitions_are_put_apart() -> None:
    queue = Queue()
    queue.open.set()
    puts = JoinedPuts(queue.put)
    row = {"ids": torch.arange(2), "note": "v"}
    held_out = asyncio.ensure_future(puts.put(["v"], [row], [{}], "val"))
    await asyncio.gather(put(puts, "a"), put(puts, "b", more=1), held_out, put(puts, "c"))
    assert sorted(map(sorted, queue.requests)) == [["a", "c"], ["b"], ["v"]]
    assert queue.rows["v"][0] == "val" and queue.rows["b"][1]["more"] == 1


async def test_a_row_that_is_refused_takes_none_of_the_others_with_it() -> None:
    queue = Queue("bad")
    puts = JoinedPuts(queue.put)
    queue.open.set()
    found = await asyncio.gather(*(put(puts, key) for key in ("a", "bad", "c")), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), ValueError, type(None)]
    assert sorted(queue.rows) == ["a", "c"]


async def test_a_sample_that_is_given_up_leaves_the_others_waiting_for_nothing() -> None:
    queue = Queue()
    puts = JoinedPuts(queue.put)
    tasks = [put(puts, key) for key in ("a", "b")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    queue.open.set()
    await asyncio.wait_for(tasks[1], 5)
    await asyncio.wait_for(put(puts, "later"), 5)
    assert {"b", "later"} <= set(queue.rows)


@pytest.mark.parametrize(("value", "kept"), [({}, False), ({"image": 1}, True)])
async def test_a_column_of_pictures_is_put_where_there_are_some(value: dict[str, int], kept: bool) -> None:
    queue = Queue()
    queue.open.set()
    await put(JoinedPuts(queue.put), "a", multi_modal_inputs=value)
    assert ("multi_modal_inputs" in queue.rows["a"][1]) is kept


def test_verls_worker_puts_its_samples_so(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # type: ignore[attr-defined]
    postprocess = inspect.unwrap(worker._agent_loop_postprocess)
    names = postprocess.__globals__
    for name in ("tq", "list_of_dict_to_tensordict"):
        monkeypatch.setitem(names, name, names[name])
    put_together(worker._agent_loop_postprocess.__get__(object()))
    assert names["tq"].async_kv_batch_put.__func__ is JoinedPuts.put
    assert {"tq", "list_of_dict_to_tensordict"} <= set(_names_of(postprocess.__code__))


def _names_of(code: CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names_of(part)]
    return [*code.co_names, *inner]
