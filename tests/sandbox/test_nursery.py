"""A slot that is ordered is made, however many are ordered at once and whatever becomes of the zygote."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator

import pytest

from verl_coder.sandbox.nursery import Nursery
from verl_coder.sandbox.pool import Pool, PoolSettings

MORE_THAN_THE_SOCKET_HOLDS = 20
SETTINGS = PoolSettings(
    workers=1,
    isolation="none",
    unsafe=True,
    max_queue=8,
    memory_mb=256,
    processes=8,
    tmpfs_mb=16,
    tmpfs_inodes=1000,
)


@pytest.fixture
async def pool() -> AsyncGenerator[Pool]:
    made = Pool(SETTINGS)
    await made.start()
    # The least that Linux allows: a few orders, where some 49 with a seccomp filter lie in a usual one.
    nursery = made._nurseries["lean"]
    assert nursery._socket is not None
    nursery._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    yield made
    await made.close()


def zygote_of(pool: Pool) -> int:
    nursery: Nursery = pool._nurseries["lean"]
    assert nursery._process is not None
    return nursery._process.pid


async def test_more_orders_than_the_socket_holds_are_all_carried_out(pool: Pool) -> None:
    zygote = zygote_of(pool)
    os.kill(zygote, signal.SIGSTOP)
    orders = [asyncio.create_task(pool.new_slot("lean")) for _ in range(MORE_THAN_THE_SOCKET_HOLDS)]
    await asyncio.sleep(0.2)
    os.kill(zygote, signal.SIGCONT)
    slots = await asyncio.gather(*orders)
    assert len({slot.pid for slot in slots}) == MORE_THAN_THE_SOCKET_HOLDS and zygote_of(pool) == zygote


async def test_orders_that_wait_when_the_zygote_dies_are_carried_out_by_the_next(pool: Pool) -> None:
    zygote = zygote_of(pool)
    os.kill(zygote, signal.SIGSTOP)
    orders = [asyncio.create_task(pool.new_slot("lean")) for _ in range(MORE_THAN_THE_SOCKET_HOLDS)]
    await asyncio.sleep(0.2)
    os.kill(zygote, signal.SIGKILL)
    ended = await asyncio.gather(*orders, return_exceptions=True)
    # Those that lay in the dead zygote's socket are lost with it, and say so; those behind them are made.
    made = [slot for slot in ended if not isinstance(slot, BaseException)]
    assert made and zygote_of(pool) != zygote
    assert {str(error).split(": ")[-1] for error in ended if isinstance(error, BaseException)} <= {
        "its keeper died"
    }
