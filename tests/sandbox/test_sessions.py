"""Sessions keep their variables, survive an interrupt, and end; debugger sessions show and steer a program."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import httpx
import pytest
from process_tree import processes_below

from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.sandbox.guest.leftovers import cpu_s_in_use

PROGRAM = """\
def add(n):
    '''Sum below n.'''
    total = 0
    for i in range(n):
        total += i
    return total
print(add(5))
d = {}
def look():
    y = 3
    return d['k']
look()
"""


async def _open(http: httpx.AsyncClient, **body: object) -> str:
    return (await http.post("/sessions", json=body)).json()["session_id"]


async def _run(http: httpx.AsyncClient, session: str, code: str, timeout: float = 10) -> dict:
    return (
        await http.post(
            f"/sessions/{session}/run", json={"code": code, "run_timeout": timeout, "report_memory": True}
        )
    ).json()


async def test_variables_live_on_and_output_is_per_call(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    assert (await _run(http, session, "x = 20\nprint('one')"))["run_result"]["stdout"] == "one\n"
    answer = await _run(http, session, "print('two')\nx + 1")
    assert (answer["status"], answer["result"], answer["run_result"]["stdout"]) == ("Success", "21", "two\n")
    assert answer["memory_mb"] > 0
    assert (await http.delete(f"/sessions/{session}")).status_code == 200


async def test_an_exception_is_text_with_a_short_traceback(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    answer = await _run(http, session, "def f(n):\n    return f(n - 1)\nf(1)")
    assert answer["status"] == "Failed" and answer["error"]["ename"] == "RecursionError"
    assert len(answer["error"]["traceback"]) < 12
    assert "sandbox" not in "".join(answer["error"]["traceback"])


@pytest.mark.parametrize(
    "reply",
    [
        'b"[" * 200000', 'b\'{"result":\' + b"[" * 990 + b"]" * 990 + b"}"', 'b"5"', 'b"9" * 5000',
        'b\'{"result": 5}\'', 'b\'{"error": 7}\'', 'b\'{"error": {"ename": 1}}\'', 'b\'{"display": [1]}\'',
        'b\'{"result": null, "more": 1}\'',
    ],
)  # fmt: skip
async def test_what_a_program_writes_in_the_place_of_a_reply_is_no_failure_of_the_server(
    http: httpx.AsyncClient, reply: str
) -> None:
    session = await _open(http)
    code = f"""
import os, stat
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            os.write(number, {reply} + b"\\n")
    except OSError:
        pass
"""
    answer = await _run(http, session, code)
    assert answer["status"] == "Failed" and not answer["alive"]


async def test_a_loop_is_interrupted_and_the_session_survives(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    await _run(http, session, "x = 5")
    answer = await _run(http, session, "print('in')\nwhile True: pass", 0.3)
    assert answer["run_result"]["status"] == "TimeLimitExceeded" and answer["alive"]
    assert answer["run_result"]["stdout"] == "in\n"
    assert (await _run(http, session, "x"))["result"] == "5"


async def test_one_that_ignores_the_interrupt_is_ended(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    code = "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [2])\nwhile True: time.sleep(1)"
    assert not (await _run(http, session, code, 0.2))["alive"]
    for _ in range(2):  # it was the program's doing, so a client is told whenever it asks
        assert not (await _run(http, session, "1"))["alive"]
    assert (await http.delete(f"/sessions/{session}")).status_code == 200
    assert (await http.post(f"/sessions/{session}/run", json={"code": "1"})).status_code == 404


async def test_sessions_do_not_see_each_other(http: httpx.AsyncClient) -> None:
    first, second = await asyncio.gather(_open(http), _open(http))
    await _run(http, first, "x = 1\nopen('f', 'w').write('1')")
    answer = await _run(http, second, "import os\n(os.path.exists('f'), 'x' in globals())")
    assert answer["result"] == "(False, False)"


_LATER = """
import ctypes, os, threading, time
ctypes.CDLL(None).prctl(15, b"NAME")
def take():
    for _ in range(4):
        if os.fork() == 0:
            kept = bytearray(b'x') * (80 << 20)
            time.sleep(60)
threading.Timer(0.5, take).start()
"""


async def test_memory_that_is_taken_between_two_commands_is_limited_too(http: httpx.AsyncClient) -> None:
    session, name = await _open(http, memory_limit_MB=128), f"taker{os.getpid()}"
    await asyncio.sleep(1.2)  # from now on it is looked at seldom
    assert (await _run(http, session, _LATER.replace("NAME", name)))["status"] == "Success"
    assert _named(name)
    await asyncio.to_thread(_wait_until_gone, name)  # a command would have it looked at often
    assert not (await _run(http, session, "1"))["alive"]


_COMPUTES_ON = """
import subprocess, sys, threading, time
count = 0
def spin():
    global count
    while True:
        count += 1
threading.Thread(target=spin, daemon=True).start()
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
"""


async def test_what_goes_on_computing_between_two_commands_stands_still_until_the_next(
    http: httpx.AsyncClient, server: EmbeddedSandbox
) -> None:
    before = set(processes_below(server.pid))
    sessions = [await _open(http) for _ in range(2)]
    for session in sessions:
        assert (await _run(http, session, _COMPUTES_ON))["status"] == "Success"
    own = [pid for pid in processes_below(server.pid) if pid not in before]
    await asyncio.to_thread(_wait_until_still, own)
    grows = "before = count\ntime.sleep(0.3)\ncount > before, child.poll()"
    assert (await _run(http, sessions[0], grows))["result"] == "(True, None)"
    for session in sessions:  # the second stands still as it is closed
        assert (await http.delete(f"/sessions/{session}")).status_code == 200
    await asyncio.to_thread(_wait_until_still, own)


async def test_a_program_is_not_stopped_for_the_cells_that_its_slot_ran_before() -> None:
    with EmbeddedSandbox(extra=["--workers", "1"]) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            for _ in range(12):  # so that every slot has had some
                answer = await http.post("/run_jupyter", json={"cells": ["1 + 1"]})
                assert answer.json()["status"] == "Success"
            code = "import numpy, time\nwhile time.process_time() < 4.5:\n    pass\nprint('done')"
            body = {"code": code, "language": "python", "run_timeout": 20}
            assert (await http.post("/run_code", json=body)).json()["run_result"]["stdout"] == "done\n"


_CHAIN = """
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        ends = time.process_time() + 0.3
        while time.process_time() < ends:
            pass
        if os.fork():
            os._exit(0)
"""


async def test_a_chain_of_forks_stands_still_too(http: httpx.AsyncClient, server: EmbeddedSandbox) -> None:
    session = await _open(http)
    assert (await _run(http, session, _CHAIN))["status"] == "Success"
    pids = lambda: processes_below(server.pid)  # noqa: E731
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        before, at = cpu_s_in_use(pids()), set(pids())
        await asyncio.sleep(1)
        if set(pids()) == at and cpu_s_in_use(pids()) - before < 0.1:
            break
    else:
        raise AssertionError("it goes on computing")
    assert (await http.delete(f"/sessions/{session}")).status_code == 200


def _wait_until_still(pids: list[int], within_s: float = 60) -> None:
    """Until they take no processor time for half a second."""
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        before = cpu_s_in_use(pids)
        time.sleep(0.5)
        if cpu_s_in_use(pids) == before:
            return
    raise AssertionError("they go on computing")


def _wait_until_gone(name: str, within_s: float = 60) -> None:
    ends = time.monotonic() + within_s
    while _named(name) and time.monotonic() < ends:
        time.sleep(0.1)


def _named(name: str) -> list[str]:
    """The processes of that name, a program and those that it has forked."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text() == f"{name}\n":
                found.append(comm.parent.name)
    return found


def _wakes(pids: list[int]) -> int:
    """How often the processes have waited for something, in all."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


async def test_sessions_that_wait_for_a_command_wake_once_a_second(
    http: httpx.AsyncClient, server: EmbeddedSandbox
) -> None:
    before = set(processes_below(server.pid))
    for _ in range(5):
        session = await _open(http)
        await _run(http, session, "import time\ntime.sleep(0.1)")
    await asyncio.sleep(1.5)
    own = [pid for pid in processes_below(server.pid) if pid not in before]
    began = _wakes(own)
    await asyncio.sleep(2)
    assert len(own) >= 5 and _wakes(own) - began <= 10 * len(own)


async def test_memory_is_limited(http: httpx.AsyncClient) -> None:
    session = await _open(http, memory_limit_MB=128)
    answer = await _run(http, session, "x = bytearray(512 << 20)")
    assert answer["error"]["ename"] == "MemoryError"


async def test_the_cap_and_the_idle_time_out() -> None:
    with EmbeddedSandbox(extra=["--max-sessions", "1"]) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url, timeout=30, trust_env=False) as http:
            session = await _open(http, idle_timeout=0.5)
            assert (await http.post("/sessions", json={})).status_code == 429
            for _ in range(50):
                await asyncio.sleep(0.1)
                if (
                    await http.post(f"/sessions/{session}/debug", json={"command": "state"})
                ).status_code == 404:
                    opened = await http.post("/sessions", json={})
                    if opened.status_code == 200:
                        return
    pytest.fail("the idle session was never closed")


_FORGED = """import os, stat
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            os.write(number, {reply!r}.encode() + b"\\n")
    except OSError:
        pass
"""


@pytest.mark.parametrize("reply", ["{}", '{"error": 7}', '{"state": {"event": "line"}}'])
async def test_what_a_debugged_program_writes_in_the_place_of_a_reply_ends_its_session(
    http: httpx.AsyncClient, reply: str
) -> None:
    session = await _open(http, kind="debugger", code=_FORGED.format(reply=reply))
    answer = await http.post(f"/sessions/{session}/debug", json={"command": "run"})
    assert (answer.status_code, answer.json()["status"], answer.json()["alive"]) == (200, "Failed", False)


async def test_an_answer_to_what_was_not_asked_is_not_taken_for_that_of_the_next_command(
    http: httpx.AsyncClient,
) -> None:
    session = await _open(http)
    forged = _FORGED.format(reply='{"result": "7"}')
    assert (await _run(http, session, forged))["result"] == "7"
    await asyncio.sleep(0.2)
    answer = await _run(http, session, "1 + 1")
    assert not answer["alive"] and answer["result"] is None


async def test_a_line_of_megabytes_is_shown_cut(http: httpx.AsyncClient) -> None:
    debug = _Debugger(http, await _open(http, kind="debugger", code=f"x = 1\ny = '{'a' * 9_000_000}'\n"))
    answer = await debug("step")
    assert (
        answer["alive"] and answer["state"]["line"] == 1 and len(answer["state"]["source"][1]["text"]) < 3000
    )


async def test_a_name_of_megabytes_leaves_the_state_without_it(http: httpx.AsyncClient) -> None:
    debug = _Debugger(http, await _open(http, kind="debugger", code=f"{'x' * 5_000_000} = 1\ny = 2\n"))
    await debug("break", line=2)
    answer = await debug("run")
    assert (
        answer["alive"] and answer["state"]["event"] == "breakpoint" and answer["error"]["ename"] == "TooLong"
    )


async def test_a_command_that_the_program_does_not_take_is_over_at_its_time(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    await _run(
        http,
        session,
        "import os, threading, signal\nthreading.Timer(0.2, os.kill, (os.getpid(), 19)).start()",
    )
    await asyncio.sleep(0.5)
    answer = await _run(http, session, f"x = '{'a' * 3_000_000}'", 0.5)
    assert not answer["alive"] and answer["run_result"]["status"] == "TimeLimitExceeded"


class _Debugger:
    def __init__(self, http: httpx.AsyncClient, session: str) -> None:
        self._http, self._session = http, session

    async def __call__(self, command: str, **arguments: object) -> dict:
        body = {"command": command, **arguments}
        return (await self._http.post(f"/sessions/{self._session}/debug", json=body)).json()


@pytest.fixture
async def debug(http: httpx.AsyncClient) -> _Debugger:
    return _Debugger(http, await _open(http, kind="debugger", code=PROGRAM))


async def test_breakpoints_by_function_line_and_condition(debug: _Debugger) -> None:
    await debug("break", function="add")
    await debug("break", line=5, condition="i == 3")
    first = (await debug("run"))["state"]
    assert (first["event"], first["line"], first["function"]) == ("breakpoint", 3, "add")
    second = (await debug("continue"))["state"]
    assert second["line"] == 5 and second["locals"] == {"n": "5", "total": "3", "i": "3"}
    assert [line["line"] for line in second["source"] if line["current"]] == [5]
    cleared = (await debug("clear", line=5))["state"]
    assert [point["line"] for point in cleared["breakpoints"]] == [3]
    assert (await debug("print", expression="total * 10"))["value"] == "30"


async def test_expressions_and_conditions_find_local_names_in_comprehensions(debug: _Debugger) -> None:
    await debug("break", line=5, condition="any(i == 3 for _ in range(2))")
    assert (await debug("run"))["state"]["locals"]["i"] == "3"
    assert (await debug("print", expression="[k + i for k in range(n) if (lambda: i > 2)()]"))[
        "value"
    ] == "[3, 4, 5, 6, 7]"
    assert (await debug("up"))["state"]["function"] == "<module>"
    assert (await debug("print", expression="[callable(add) for _ in (1, 2)]"))["value"] == "[True, True]"


async def test_up_down_next_return_and_stack(debug: _Debugger) -> None:
    await debug("break", function="add")
    stack = (await debug("run"))["state"]["stack"]
    assert [frame["function"] for frame in stack] == ["<module>", "add"]
    assert (await debug("up"))["state"]["line"] == 7
    assert (await debug("up"))["status"] == "Failed"
    assert (await debug("down"))["state"]["function"] == "add"
    assert (await debug("next"))["state"]["line"] == 4
    returned = (await debug("return"))["state"]
    assert returned["event"] == "return" and returned["locals"]["total"] == "10"


async def test_continue_to_the_exception_is_post_mortem(debug: _Debugger) -> None:
    answer = await debug("run")
    assert answer["state"]["event"] == "exception" and answer["error"]["ename"] == "KeyError"
    assert answer["run_result"]["stdout"] == "10\n"
    assert answer["state"]["function"] == "look" and answer["state"]["locals"] == {"y": "3"}
    assert (await debug("print", expression="y + 1"))["value"] == "4"
    assert (await debug("step"))["message"].startswith("the program is not running")
    assert (await debug("restart"))["state"]["event"] == "exception"


async def test_until_runs_a_loop_to_its_end(debug: _Debugger) -> None:
    await debug("break", line=5)
    await debug("run")
    await debug("clear", line=5)
    last = (await debug("until"))["state"]
    while last["line"] != 6:
        last = (await debug("until"))["state"]
    assert last["locals"]["total"] == "10"


async def test_breakpoints_move_with_their_lines_when_the_program_is_edited(debug: _Debugger) -> None:
    await debug("break", line=5, condition="i == 2")
    await debug("break", function="add")
    await debug("run")
    edited = "import os\n" + PROGRAM.replace("    total = 0\n", "")
    answer = await debug("load", code=edited)
    assert answer["status"] == "Success" and answer["state"]["event"] == "not_started"
    assert [(p["line"], p["condition"]) for p in answer["state"]["breakpoints"]] == [(5, "i == 2")]
    assert answer["dropped_breakpoints"] == [3]
    assert (await debug("run"))["error"]["ename"] in ("NameError", "UnboundLocalError")


async def test_a_loop_is_interrupted_where_it_is(http: httpx.AsyncClient) -> None:
    debug = _Debugger(http, await _open(http, kind="debugger", code="x = 0\nwhile True:\n    x += 1\n"))
    answer = await debug("run", run_timeout=0.3)
    assert answer["alive"] and answer["state"]["event"] == "interrupted" and answer["state"]["line"] in (2, 3)
    assert int((await debug("print", expression="x"))["value"]) > 0


async def test_a_fork_of_the_program_answers_nothing(http: httpx.AsyncClient) -> None:
    session = await _open(http)
    await _run(http, session, "import os\npid = os.fork()\nx = 1")
    answers = [(await _run(http, session, f"x + {n}"))["result"] for n in range(3)]
    assert answers == ["1", "2", "3"]


async def test_a_loop_of_one_line_is_interrupted_too(http: httpx.AsyncClient) -> None:
    debug = _Debugger(http, await _open(http, kind="debugger", code="x = 1\nwhile True: pass\n"))
    answer = await debug("run", run_timeout=0.3)
    assert answer["alive"] and (answer["state"]["event"], answer["state"]["line"]) == ("interrupted", 2)
    assert (await debug("print", expression="x"))["value"] == "1"


async def test_a_program_that_swallows_everything_is_left_all_the_same(http: httpx.AsyncClient) -> None:
    loop = "        while True:\n            x = 1\n"
    stubborn = f"while True:\n    try:\n{loop}    except BaseException:\n        pass\n"
    debug = _Debugger(http, await _open(http, kind="debugger", code=stubborn))
    assert (await debug("run", run_timeout=0.3))["state"]["event"] == "interrupted"
    assert (await debug("load", code="y = 7\nz = 8\n"))["state"]["event"] == "not_started"
    await debug("break", line=2)
    assert (await debug("run"))["state"]["locals"] == {"y": "7"}


async def test_a_restarted_program_finds_its_modules_as_they_were(http: httpx.AsyncClient) -> None:
    code = "import math\nprint(math.pi)\nmath.pi = 3\n"
    debug = _Debugger(http, await _open(http, kind="debugger", code=code))
    printed = [(await debug("run"))["run_result"]["stdout"] for _ in range(2)]
    assert printed[0] == printed[1] != "3\n"


async def test_a_program_that_leaves_by_itself_has_an_exit_code_and_its_debugger_lives(
    http: httpx.AsyncClient,
) -> None:
    debug = _Debugger(http, await _open(http, kind="debugger", code="import os\nos._exit(4)\n"))
    answer = await debug("run")
    assert answer["alive"] and (answer["state"]["event"], answer["state"]["return_code"]) == ("exited", 4)
    assert (await debug("load", code="x = 1\n1 / 0\n"))["state"]["event"] == "not_started"
    assert (await debug("run"))["error"]["ename"] == "ZeroDivisionError"


async def test_a_value_that_cannot_be_shown_hides_the_others_and_stops_nothing(
    http: httpx.AsyncClient,
) -> None:
    code = "class R:\n    def __repr__(self):\n        while True: pass\nr = R()\ny = 2\nz = 3\n"
    debug = _Debugger(http, await _open(http, kind="debugger", code=code))
    await debug("break", line=5)
    answer = await debug("run", run_timeout=0.3)
    assert answer["state"]["line"] == 5 and list(answer["state"]["locals"]) == ["..."]
    answer = await debug("next", run_timeout=5)
    assert answer["state"]["line"] == 6 and answer["run_result"]["status"] == "Finished"
    assert (await debug("print", expression="y"))["value"] == "2"
