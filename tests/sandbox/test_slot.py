"""A lost slot is the service's failure, but where it had been ordered to stop; a look at memory can be broken off."""

import asyncio
import os

import pytest

from verl_coder.sandbox.guest import leftovers
from verl_coder.sandbox.slot import Slot, SlotLost


@pytest.fixture
async def slot() -> Slot:
    made = Slot(asyncio.get_running_loop(), 1, "lean")
    made.begin({}, [0], timeout_s=60)
    return made


async def test_one_that_was_ordered_to_stop_has_stopped(slot: Slot) -> None:
    slot.stop()
    slot.kill()
    ended = await slot.end()
    assert (ended.return_code, ended.ordered, ended.timed_out) == (-9, True, False) and slot.dead


async def test_one_that_nobody_ordered_to_stop_is_the_services_failure(slot: Slot) -> None:
    slot.kill()
    with pytest.raises(SlotLost):
        await slot.end()


def test_a_look_at_memory_ends_where_something_is_to_be_done() -> None:
    pids = [os.getpid()]
    assert leftovers.memory_in_use(pids, on_tmpfs=1) > 1
    assert leftovers.memory_in_use(pids, on_tmpfs=1, called=lambda: True) == 1
