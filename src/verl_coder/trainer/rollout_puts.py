"""What rollouts put into TransferQueue, many samples at a time.

verl's worker puts each sample by itself: a request for its place, one with its data, one that tells of it, and a batch
built for one row. Here samples that end while a put is on its way go together in the next one, so that none waits
for a clock.
"""

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import transfer_queue as tq
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

Row = dict[str, Any]
_EMPTY_OBJECTS = "multi_modal_inputs"
"""A column of objects that is `{}` in every row of text; the trainer takes a missing one for that."""


@dataclass
class _Put:
    keys: Sequence[str]
    rows: Sequence[Row]
    tags: Sequence[dict[str, Any]]
    done: "asyncio.Future[None]"


class JoinedPuts:
    """`async_kv_batch_put` of TransferQueue for rows as dictionaries; one request for all that wait."""

    def __init__(self, put: Callable[..., Awaitable[Any]] = tq.async_kv_batch_put) -> None:
        self._put = put
        self._waiting: dict[tuple[str, frozenset[str]], list[_Put]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    async def put(
        self, keys: Sequence[str], fields: Sequence[Row], tags: Sequence[dict[str, Any]], partition_id: str
    ) -> None:
        """Return when the rows are there; raises what the queue raised for them."""
        rows = [_without_empty_objects(row) for row in fields]
        put = _Put(keys, rows, tags, asyncio.get_running_loop().create_future())
        self._waiting[partition_id, frozenset(rows[0])].append(put)
        if self._task is None:
            self._task = asyncio.create_task(self._put_all())
        await put.done

    async def _put_all(self) -> None:
        while self._waiting:
            (partition, _), puts = self._waiting.popitem()
            await self._put_together(partition, puts)
        self._task = None

    async def _put_together(self, partition: str, puts: Sequence[_Put]) -> None:
        try:
            await self._put(
                keys=[key for put in puts for key in put.keys],
                fields=list_of_dict_to_tensordict([row for put in puts for row in put.rows]),
                tags=[tag for put in puts for tag in put.tags],
                partition_id=partition,
            )
        except Exception as error:
            if len(puts) > 1:  # one of them may be what is wrong: the others are not to be lost with it
                for put in puts:
                    await self._put_together(partition, [put])
            elif not puts[0].done.done():
                puts[0].done.set_exception(error)
            return
        for put in puts:
            if not put.done.done():  # else its sample was given up meanwhile
                put.done.set_result(None)


def _without_empty_objects(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != _EMPTY_OBJECTS or value}


def put_together(postprocess: Any) -> None:
    """Let verl's `_agent_loop_postprocess`, a bound method of its worker, put its samples so.

    Ray hands verl's class to the worker with names of its own, not those of verl's module, and wraps its methods.
    """
    names = inspect.unwrap(postprocess.__func__).__globals__
    names["list_of_dict_to_tensordict"] = list
    names["tq"] = SimpleNamespace(
        init=tq.init, async_kv_put=tq.async_kv_put, async_kv_batch_put=JoinedPuts().put
    )
