"""What rollouts put into TransferQueue, many samples at a time.

verl's worker puts each sample by itself: a request for its place, one with its data, one that tells of it, and a batch
built for one row. Here samples that end while a put is on its way go together in the next one, so that none waits
for a clock.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import transfer_queue as tq
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

Row = dict[str, Any]
logger = logging.getLogger(__name__)

_PICTURES = "multi_modal_inputs"
"""A column of objects that is `{}` in every row of a model of text; the trainer takes a missing one for that."""
_REPLACED = {"list_of_dict_to_tensordict", "tq"}


@dataclass
class _Put:
    keys: Sequence[str]
    rows: Sequence[Row]
    tags: Sequence[dict[str, Any]]
    done: "asyncio.Future[None]"


class JoinedPuts:
    """`async_kv_batch_put` of TransferQueue for rows as dictionaries; one request for all that wait.

    Rows of other columns or of another partition wait for a request of their own, in the order in which they came.
    """

    def __init__(
        self, put: Callable[..., Awaitable[Any]] = tq.async_kv_batch_put, *, text_only: bool = False
    ) -> None:
        self._put, self._text_only = put, text_only
        self._waiting: dict[tuple[str, frozenset[str]], list[_Put]] = {}
        self._task: asyncio.Task[None] | None = None

    async def put(
        self, keys: Sequence[str], fields: Sequence[Row], tags: Sequence[dict[str, Any]], partition_id: str
    ) -> None:
        """Return when the rows are there; raises what the queue raised for them. One that is cancelled is not put."""
        left_out = {_PICTURES} if self._text_only else set()
        rows = [{name: value for name, value in row.items() if name not in left_out} for row in fields]
        put = _Put(keys, rows, tags, asyncio.get_running_loop().create_future())
        self._waiting.setdefault((partition_id, frozenset(rows[0])), []).append(put)
        if self._task is None:
            self._task = asyncio.create_task(self._put_all())
        await put.done

    async def _put_all(self) -> None:
        try:
            while self._waiting:
                (partition, columns), puts = next(iter(self._waiting.items()))
                del self._waiting[partition, columns]
                await self._put_together(partition, puts)
        except BaseException as error:  # the process ends, or the task was cancelled
            _end([put for puts in self._waiting.values() for put in puts], error)
            self._waiting.clear()
            raise
        finally:
            self._task = None

    async def _put_together(self, partition: str, puts: Sequence[_Put]) -> None:
        puts = [put for put in puts if not put.done.done()]  # else its sample was given up, and is made again
        if not puts:
            return
        try:
            await self._put(
                keys=[key for put in puts for key in put.keys],
                fields=list_of_dict_to_tensordict([row for put in puts for row in put.rows]),
                tags=[tag for put in puts for tag in put.tags],
                partition_id=partition,
            )
        except Exception as error:
            if len(puts) == 1:
                _end(puts, error)
                return
            # One of them may be what is wrong: the others are not to be lost with it.
            logger.warning("%d samples go into TransferQueue one by one: %r", len(puts), error)
            await asyncio.gather(*(self._put_together(partition, [put]) for put in puts))
        except BaseException as error:
            _end(puts, error)
            raise
        else:
            _end(puts, None)


def _end(puts: Sequence[_Put], error: BaseException | None) -> None:
    """Tell all who still wait how their put ended."""
    for put in puts:
        if put.done.done():
            continue
        if error is None:
            put.done.set_result(None)
        elif isinstance(error, Exception):
            put.done.set_exception(error)
        else:
            put.done.cancel()


def put_together(postprocess: Any, *, text_only: bool) -> None:
    """Let verl's `_agent_loop_postprocess`, a bound method of its worker, put its samples so.

    Ray hands verl's class to the worker with names of its own, not those of verl's module, and wraps its methods.
    `text_only`: the model reads no pictures.
    """
    names = inspect.unwrap(postprocess.__func__).__globals__
    assert names.keys() >= _REPLACED, f"verl's agent-loop worker has not the names {sorted(_REPLACED)}"
    names["list_of_dict_to_tensordict"] = list
    names["tq"] = SimpleNamespace(
        init=tq.init,
        async_kv_put=tq.async_kv_put,
        async_kv_batch_put=JoinedPuts(text_only=text_only).put,
    )
