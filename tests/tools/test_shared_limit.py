"""Calls at a time and calls a second hold over processes, and a process that is killed gives its place back."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from verl_coder.tools.shared_limit import SharedLimit

WORKER = """
import asyncio, os, sys
from pathlib import Path
from verl_coder.tools.shared_limit import SharedLimit

folder, log, places, seconds, calls = sys.argv[1:]
limit = SharedLimit("tool", places=int(places), folder=Path(folder))
out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def one():
    async with limit.place():
        os.write(out, b"+")
        await asyncio.sleep(float(seconds))
        os.write(out, b"-")

async def all_of_them():
    await asyncio.gather(*(one() for _ in range(int(calls))))

asyncio.run(all_of_them())
"""


def worker(folder, log, *, places, seconds, calls):
    arguments = [str(each) for each in (folder, log, places, seconds, calls)]
    return subprocess.Popen([sys.executable, "-c", WORKER, *arguments])


def wait_for(log, process):
    while not (log.exists() and log.read_text()):
        assert process.poll() is None
        time.sleep(0.01)


def test_so_many_calls_at_a_time_over_all_processes_and_no_call_is_lost(tmp_path):
    log = tmp_path / "log"
    workers = [worker(tmp_path / "limit", log, places=3, seconds=0.02, calls=8) for _ in range(3)]
    assert [process.wait() for process in workers] == [0, 0, 0]
    now = most = 0
    for sign in log.read_text():
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert (most, now, len(log.read_text())) == (3, 0, 48)


def test_a_killed_process_gives_its_place_back(tmp_path):
    log = tmp_path / "log"
    holder = worker(tmp_path / "limit", log, places=1, seconds=600, calls=1)
    wait_for(log, holder)
    holder.kill()
    holder.wait()
    assert worker(tmp_path / "limit", log, places=1, seconds=0, calls=1).wait(timeout=60) == 0
    assert log.read_text() == "++-"


def test_a_place_is_given_back_where_the_call_fails_or_is_cancelled(tmp_path):
    async def use() -> None:
        limit = SharedLimit("tool", places=1, folder=tmp_path)
        with pytest.raises(ValueError):
            async with limit.place():
                raise ValueError
        inside = asyncio.Event()

        async def hold() -> None:
            async with limit.place():
                inside.set()
                await asyncio.sleep(600)

        task = asyncio.create_task(hold())
        await inside.wait()
        assert limit._try() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        descriptor = limit._try()
        assert descriptor is not None
        os.close(descriptor)

    asyncio.run(use())


def test_the_moments_of_a_rate_are_as_far_apart_as_it_says_whoever_takes_them(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("verl_coder.tools.shared_limit.time.monotonic", lambda: clock[0])
    one, other = (SharedLimit("tool", per_s=4.0, folder=tmp_path) for _ in range(2))
    one.folder.mkdir(parents=True)
    assert [one._wait_s(), other._wait_s(), one._wait_s()] == [0.0, 0.25, 0.5]
    clock[0] += 10.0
    assert [other._wait_s(), one._wait_s()] == [0.0, 0.25]
    assert SharedLimit("another tool", per_s=4.0, folder=tmp_path).folder != one.folder


async def test_a_call_that_tries_again_takes_no_moment_of_the_rate(tmp_path):
    limit = SharedLimit("tool", per_s=0.001, folder=tmp_path / "limit")
    async with limit.place():
        pass
    async with asyncio.timeout(5):
        for _ in range(3):
            async with limit.place(is_new=False):
                pass
