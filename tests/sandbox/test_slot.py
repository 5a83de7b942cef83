"""A lost slot is the service's failure, but where it had been ordered to stop; a look at memory can be broken off."""

import asyncio
import itertools
import os
import subprocess
import sys

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


HOLDS_SHARED_MEMORY = """
import mmap, time
memory = mmap.mmap(-1, 8 << 20)
memory.write(b"x" * (8 << 20))
print("holds", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("reaped", [False, True])
def test_a_process_that_ends_while_it_is_looked_at_holds_nothing(reaped: bool) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDS_SHARED_MEMORY], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"holds\n"
    before = leftovers.memory_in_use([child.pid], on_tmpfs=0)
    looks = itertools.count(1)

    def ends_before_its_share_is_read() -> bool:
        if next(looks) == 2:
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
        return False

    after = leftovers.memory_in_use([child.pid], on_tmpfs=0, called=ends_before_its_share_is_read)
    child.wait()
    child.stdout.close()
    assert after + (8 << 20) <= before


def test_a_look_at_memory_ends_where_something_is_to_be_done() -> None:
    pids = [os.getpid()]
    assert leftovers.memory_in_use(pids, on_tmpfs=1) > 1
    assert leftovers.memory_in_use(pids, on_tmpfs=1, called=lambda: True) == 1
