"""Style `stdio`: a verdict agrees with what plain Python makes of the program, alone and together with others."""

import asyncio
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from plain_python import run_plain
from stdio_programs import programs

from verl_coder.grading import grade
from verl_coder.grading.alone import FEW_TESTS
from verl_coder.grading.programs import run_programs as judged
from verl_coder.grading.programs.frames import receive_frame, send_frame
from verl_coder.grading.programs.record import GradingRecord
from verl_coder.grading.programs.spec import Spec
from verl_coder.problems import StdioCase, StdioTests

SEED, COUNT = int(os.environ.get("STDIO_SEED", "15")), int(os.environ.get("STDIO_PROGRAMS", "36"))


def suite(*cases, count=1, **fields):
    return StdioTests(tests=tuple(StdioCase(input=a, output=b) for a, b in cases) * count, **fields)


@pytest.fixture(scope="module")
def seeded():
    """(code, stdin, what plain Python made of it) of a few dozen generated programs."""
    made = list(programs(SEED, COUNT))
    with ThreadPoolExecutor(4) as pool:
        plain = pool.map(lambda program: run_plain(*program), made)
        return [(*program, ended) for program, ended in zip(made, plain, strict=True)]


@pytest.mark.parametrize("count", [1, FEW_TESTS + 1])
def test_generated_programs_pass_where_plain_python_ends_well(count, seeded, with_pair_client):
    async def work(client):
        graded = [
            grade(code, suite((stdin, ended.stdout), count=count), client) for code, stdin, ended in seeded
        ]
        return await asyncio.gather(*graded)

    wanted = ["passed" if ended.status == 0 else "error" for _, _, ended in seeded]
    assert set(wanted) == {"passed", "error"}
    reports = with_pair_client(work)
    assert [report.outcome for report in reports] == wanted, [report.explain() for report in reports]


def test_many_tests_take_one_request_and_what_used_the_process_up_the_rest(with_pair_client):
    tests = suite(*((f"{n}\n", f"{2 * n}\n") for n in range(FEW_TESTS + 3)))
    plain = "import atexit\nclass A:\n    def __del__(self): print(2 * int(input()))\na = A()"
    threads = "import threading\nn = int(input())\nthreading.Timer(0.2, lambda: print(2 * n)).start()"

    async def work(client):
        asked, ended = [], []
        run_code, run_pair = client.run_code, client.run_pair

        async def pair(request):
            response = await run_pair(request)
            ended.append(response.candidate.return_code)
            return response

        client.run_code = lambda request: asked.append(request.stdin) or run_code(request)
        client.run_pair = pair
        outcomes = [(await grade(code, tests, client)).outcome for code in (plain, threads)]
        return outcomes, asked, ended

    outcomes, asked, ended = with_pair_client(work)
    assert outcomes == ["passed", "passed"]
    assert asked == [f"{n}\n" for n in range(1, FEW_TESTS + 3)]
    # Ended by the sandbox after the judge, which waited for nothing that does not come.
    assert ended == [-signal.SIGKILL] * 2


LEFTOVERS = {
    "an exit hook": "import atexit, os\natexit.register(print, 2 * int(input()))",
    "an exit hook that ends all": "import atexit, os\natexit.register(os._exit, 0)\nprint(2 * int(input()))",
    "an executor": (
        "from concurrent.futures import ThreadPoolExecutor\nn = int(input())\n"
        "ThreadPoolExecutor(1).submit(lambda: print(2 * n))"
    ),
    "a thread of a thread": (
        "import threading, time\nn = int(input())\ndef inner():\n    time.sleep(0.02)\n    print(2 * n)\n"
        "threading.Thread(target=lambda: threading.Thread(target=inner).start()).start()"
    ),
    "a daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print(2 * int(input()))"
    ),
    "a closed output": "import sys\nprint(2 * int(input()))\nsys.stdout.close()\nsys.stdin.close()",
    "a closed descriptor": "import os\nprint(2 * int(input()), flush=True)\nfor n in range(3): os.close(n)",
    "a replaced shutdown": "import threading\nthreading._shutdown = None\nprint(2 * int(input()))",
    "an alarm": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\nprint(2 * int(input()))",
    "no builtins": "import builtins\nprint(2 * int(input()))\ndel builtins.len, builtins.zip, builtins.bool",
    "no modules": "import sys\nprint(2 * int(input()))\nsys.stdout.flush()\nsys.modules.clear()",
    "a fork": "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    print(2 * int(input()))",
    "another folder": "import os, tempfile\nos.chdir(tempfile.mkdtemp())\nprint(2 * int(input()))",
    "a recursion limit": "import sys\nn = int(input())\nsys.setrecursionlimit(60)\nprint(2 * n)",
}


@pytest.mark.parametrize("what", LEFTOVERS)
def test_what_a_program_leaves_costs_no_other_test(what, with_client):
    tests = suite(*((f"{n}\n", f"{2 * n}\n") for n in range(1, FEW_TESTS + 3)), timeout_s=5.0)
    report = with_client(lambda client: grade(LEFTOVERS[what], tests, client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize("count", [1, FEW_TESTS + 1])
def test_a_program_that_does_not_parse_runs_no_test(count, with_client):
    report = with_client(lambda client: grade("print(int(input())", suite(("1", "1"), count=count), client))
    assert (report.outcome, {test.status for test in report.tests}) == ("error", {"not_run"})
    assert "was never closed" in report.message


@pytest.mark.parametrize("count", [1, FEW_TESTS + 1])
def test_a_lone_surrogate_of_the_input_is_one_character(count, with_client):
    tests = suite(("a\ud83d\n", "2\n"), count=count)
    assert with_client(lambda client: grade("print(len(input()))", tests, client)).outcome == "passed"


def test_output_without_end_is_a_wrong_answer_long_before_the_time_is_up(with_pair_client):
    code = "while True: print('y' * 1000)"
    report = with_pair_client(lambda client: grade(code, suite(("", "y\n"), timeout_s=30.0), client))
    assert report.outcome == "failed" and "printed more than" in report.message, report.explain()


def test_output_longer_than_the_server_keeps_otherwise_is_compared_whole(with_pair_client):
    expected = "".join(f"{n}\n" for n in range(600_000))
    code = "print(*range(600_000), sep='\\n')"
    assert with_pair_client(lambda client: grade(code, suite(("", expected)), client)).outcome == "passed"
    wrong = expected.replace("\n300000\n", "\n300001\n")
    assert with_pair_client(lambda client: grade(code, suite(("", wrong)), client)).outcome == "failed"


def test_the_budget_is_time_that_programs_ran():
    class Slow:
        """A sandbox whose programs take longer than they may, each on time."""

        async def run_code(self, request):
            from verl_coder.sandbox import CommandResult, RunResponse

            result = CommandResult(status="Finished", execution_time=30.0, return_code=0, stdout="1")
            limits.append(request.run_timeout)
            return RunResponse(status="Success", run_result=result)

    limits: list[float] = []
    tests = suite(("", "1"), count=3, timeout_s=25.0)
    report = asyncio.run(grade("print(1)", tests, Slow()))
    assert limits == [25.0, 25.0, 10.0] and report.outcome == "passed"


@pytest.mark.parametrize("count", [1, FEW_TESTS + 2])
@pytest.mark.parametrize("end", ["garbage", "\\n"])
def test_an_output_over_the_cap_does_not_pass_wherever_it_is_cut(count, end, with_pair_client):
    code = f"print('1\\n' * 10 + '\\n' * 3_000_000 + '{end}')"
    report = with_pair_client(lambda client: grade(code, suite(("1\n", "1\n" * 10), count=count), client))
    assert (report.outcome, report.passed) == ("failed", 0) and "printed more than" in report.message


def judge_of(inputs, replies):
    """The letters that the judge gives a program with `replies` (None: no answer) to the inputs, 0.2 s for each."""
    ours, theirs = socket.socketpair()
    items = [{"stdin": text, "expected": "1\n"} for text in inputs]
    record = GradingRecord(
        Spec("program", items, len(items), timeout_s=0.2, load_timeout_s=9.0, budget_s=9.0)
    )

    def answer():
        send_frame(theirs, {"r": None})
        receive_frame(theirs), receive_frame(theirs)
        for reply in replies:
            if reply is not None:
                send_frame(theirs, {"out": reply, "ended": 0})

    program = threading.Thread(target=answer)
    program.start()
    judged.run_programs(record, SimpleNamespace(control=ours))
    program.join()
    ours.close(), theirs.close()
    return "".join(record.status)


def test_the_judges_own_comparison_is_not_on_the_programs_clock(monkeypatch):
    monkeypatch.setattr(judged, "same_text", lambda got, expected: time.sleep(0.3) or got == expected)
    assert judge_of(["a", "b"], ["1\n", "1\n"]) == "pp"


def test_a_first_test_that_hangs_is_settled_unless_its_process_had_much_to_read(monkeypatch):
    assert judge_of(["a", "b"], [None]) == "t?"
    assert judge_of(["a" * 300_000, "b"], [None]) == "??"
