"""No solution can have itself left ungraded: what breaks the judge's trust or resources is an error, not an excuse."""

import pytest

from verl_coder.grading import grade
from verl_coder.problems import FunctionCase, FunctionTests, PytestTests

SEND = """
import os, socket, struct
def send(data):
    for number in range(3, 64):
        try:
            socket.socket(fileno=os.dup(number)).sendall(struct.pack('>I', len(data)) + data)
        except OSError:
            pass
def f(x):
    send(FRAME)
    os._exit(0)
"""
FRAMES = {
    "lists nested 4900 deep": 'b\'{"r":\' + b"[" * 4900 + b"]" * 4900 + b"}"',
    "lists nested 100,000 deep": 'b\'{"r":\' + b"[" * 100000 + b"]" * 100000 + b"}"',
    "tuples nested 2000 deep": 'b\'{"r":\' + b\'{"t":[\' * 2000 + b"]}" * 2000 + b"}"',
    "an array of objects": 'b\'{"r":{"na":["|O8",[1],[1]]}}\'',
    "an array larger than memory": 'b\'{"r":{"na":["<U999999",[1000],[\' + b",".join([b\'"a"\'] * 1000) + b"]]}}"',
    "own data of no builtin": 'b\'{"r":{"p":[[1],["mine",1,"x",false,""]]}}\'',
    "own data of the tests": 'b\'{"r":{"p":[2,["yours",0]]}}\'',
    "a handle that is none": 'b\'{"r":{"h":["mine",{},[],1]}}\'',
    "an exception of no name": 'b\'{"x":[[1,2],3,"a"]}\'',
    "an exception that ends processes": 'b\'{"x":[["KeyboardInterrupt","BaseException"],"t",0]}\'',
    "a call of no function": 'b\'{"cb":0,"args":[],"kwargs":{"d":[]}}\'',
    "an empty object": "b'{}'",
    "a list": "b'[]'",
    "a range that is too long": 'b\'{"r":{"r":[0,\' + b"9" * 400 + b",1]}}"',
}
PROGRAMS = {
    "a frame of 4 GB": "import os\ndef f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, b'\\xff' * 1000)\n"
    "        except OSError: pass\n    os._exit(0)\n",
    "memory at import": "y = []\nwhile True: y.append(bytearray(1 << 24))\n",
    "a kill of itself": "import os\ndef f(x): os.kill(os.getpid(), 9)\n",
    "a kill of all": "import os\ndef f(x):\n    try: os.kill(-1, 9)\n    except OSError: pass\n    os.kill(0, 9)\n",
    "a segmentation fault": "import ctypes\ndef f(x): ctypes.string_at(0)\n",
    "an orphan that holds on": "import os, time\ndef f(x):\n    if os.fork(): os._exit(0)\n    time.sleep(60)\n",
    "an exception with an enormous name": "raise type('E' * 20_000_000, (Exception,), {})\n",
    "one of a call": "def f(x): raise type('E' * 20_000_000, (ValueError,), {})(x)\n",
    "a message of a load as long as a frame": SEND.split("def f")[0]
    + "send(b'{\"x\":[[\"E\"],\"' + b'a' * 60_000_000 + b'\",0]}')\nimport time; time.sleep(2)\n",
    "a stop of itself": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)\n",
}
CALLS = FunctionTests(entry_point="f", tests=(FunctionCase(args=(1,), expected=2),), timeout_s=0.5)
MODULE = PytestTests(test="from solution import f\ndef test_it():\n    assert f(1) == 2\n", timeout_s=0.5)


@pytest.mark.parametrize("what", [*FRAMES, *PROGRAMS])
def test_it_is_the_solutions_failure(what, with_pair_client):
    code = PROGRAMS.get(what) or SEND.replace("FRAME", FRAMES[what])

    async def work(client):
        return [await grade(code, suite, client) for suite in (CALLS, MODULE)]

    for report in with_pair_client(work):
        assert report.outcome in ("failed", "error", "timeout") and report.passed == 0, report.explain()
