"""Style `stdio`, many tests in one process: each finds the process as a plain run would."""

# ruff: noqa: E501 - tables of programs

import ast
import os

import pytest
from plain_python import run_plain

from verl_coder.grading import grade
from verl_coder.grading.alone import FEW_TESTS
from verl_coder.grading.programs.kept_state import ProcessState, leaves_state
from verl_coder.problems import StdioCase, StdioTests

INPUTS = [f"{n}\n" for n in (40, 5, 30, 6, 7)]
PROGRAMS = {
    "a context by another name": "from decimal import Decimal, getcontext as context\nn = int(input())\nif n > 28: context().prec = n\nprint(Decimal(1) / 3)",
    "traps and flags of a context": "import decimal\nn = int(input())\nc = decimal.getcontext()\nprint(c.flags[decimal.Inexact], c.traps[decimal.Inexact])\nif n > 28: c.traps[decimal.Overflow] = False\ndecimal.Decimal(1) / 3",
    "a module by another name": "import math\nn = int(input())\nm = math\nif n > 28: m.sqrt = lambda x: 0\nprint(math.sqrt(n))",
    "a module that is passed along": "import math\nn = int(input())\ndef change(module): module.sqrt = lambda x: 0\nif n > 28: change(math)\nprint(math.sqrt(n))",
    "a class that is registered": "from collections.abc import Sized\nn = int(input())\nprint(issubclass(complex, Sized))\nif n > 28: Sized.register(complex)",
    "the first day of a week": "import calendar\nn = int(input())\nif n > 28: calendar.setfirstweekday(6)\nprint(calendar.firstweekday())",
    "what NumPy prints": "import numpy as np\nn = int(input())\nif n > 28: np.set_printoptions(precision=2)\nprint(np.array([1.23456]))",
    "a list of a library": "import keyword\nn = int(input())\nprint(len(keyword.kwlist))\nif n > 28: keyword.kwlist.append('x')",
    "a decimal context": "from decimal import *\nn = int(input())\nif n > 28: getcontext().prec = n\nprint(Decimal(1) / 3)",
    "a recursion limit": "import sys\nn = int(input())\nif n > 28: sys.setrecursionlimit(5000)\nprint(sys.getrecursionlimit())",
    "digits of integers": "import sys\nn = int(input())\nif n > 28: sys.set_int_max_str_digits(0)\nprint(sys.get_int_max_str_digits())",
    "the environment": "import os\nn = int(input())\nprint(os.environ.get('MODE', 'none'))\nif n > 28: os.environ['MODE'] = 'large'",
    "a replaced function": "import math\nn = int(input())\nif n > 28: math.sqrt = lambda x: 0\nprint(math.sqrt(n))",
    "an attribute of a class": "import fractions\nn = int(input())\nF = fractions.Fraction\nprint(getattr(F, 'mark', 0))\nsetattr(fractions.Fraction, 'mark', n)",
    "a list taken from a library": "from keyword import kwlist\nn = int(input())\nprint(len(kwlist))\nif n > 28: kwlist.append('x')",
    "a logger's handlers": "import logging as l, sys\nlog = l.getLogger('out')\nlog.setLevel(l.INFO)\nlog.addHandler(l.StreamHandler(sys.stdout))\nlog.info(int(input()))",
    "the root logger's handlers": "from logging import getLogger, StreamHandler\nimport sys\nlog = getLogger()\nlog.addHandler(StreamHandler(sys.stdout))\nlog.warning(int(input()))",
    "a file that grows": "n = int(input())\nwith open('log.txt', 'a') as file: file.write(f'{n};')\nprint(open('log.txt').read())",
    "a file in a folder of its own": "import os, pathlib\nn = int(input())\nos.makedirs('a/b', exist_ok=True)\np = pathlib.Path('a/b/c')\nprint(p.exists())\np.write_text('x')",
    "a cache of JSON": "import json, os\nn = int(input())\nc = json.load(open('c.json')) if os.path.exists('c.json') else {}\nc[str(n)] = 1\njson.dump(c, open('c.json', 'w'))\nprint(len(c))",
    "a database": "import sqlite3\nd = sqlite3.connect('t.db')\nd.execute('create table if not exists t(a)')\nd.execute('insert into t values(?)', (int(input()),))\nd.commit()\nprint(list(d.execute('select a from t')))",
    "a shelf": "import shelve\nwith shelve.open('s') as s:\n    s[input().strip()] = 1\n    print(len(s))",
    "the number of a thread": "import threading as t\nn = int(input())\nx = t.Thread(target=lambda: print(t.current_thread().name.split()[0], n))\nx.start()\nx.join()",
    "the number of a task": "import asyncio\nasync def main(): print(asyncio.current_task().get_name(), input())\nasyncio.run(main())",
    "seconds of work": "import time\nn = int(input())\nturns = 0\nwhile time.process_time() < 0.12: turns = 1\nprint(turns)",
    "seconds of work by a star import": "from time import *\nn = int(input())\nturns = 0\nwhile process_time() < 0.12: turns = 1\nprint(turns)",
    "the working folder": "import os\nn = int(input())\nprint(os.path.basename(os.getcwd()) == 'tmp')\nif n > 28: os.chdir('/')",
}


OUTSIDE = {
    "a file in the folder for such files": "import os, tempfile\nn = int(input())\np = os.path.join(tempfile.gettempdir(), 'verl-coder-test')\nprint(os.path.exists(p))\nopen(p, 'w').close()",
    "a file by its whole path": "import os\nn = int(input())\np = '/tmp/verl-coder-test'\nprint(os.path.exists(p))\nopen(p, 'w').close()",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_of_one_test_reaches_the_next(name, with_pair_client):
    code = PROGRAMS[name]
    ended = [run_plain(code, text) for text in INPUTS]
    assert len(INPUTS) > FEW_TESTS and all(end.status == 0 for end in ended)
    cases = tuple(StdioCase(input=text, output=end.stdout) for text, end in zip(INPUTS, ended, strict=True))
    if name == "the working folder":
        cases = tuple(StdioCase(input=text, output="False\n") for text in INPUTS)
        code = code.replace("os.path.basename(os.getcwd()) == 'tmp'", "os.getcwd() == '/'")
    report = with_pair_client(lambda client: grade(code, StdioTests(tests=cases), client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_elsewhere_does_not_reach_the_next(name, with_pair_client):
    cases = tuple(StdioCase(input=text, output="False\n") for text in INPUTS)
    report = with_pair_client(lambda client: grade(OUTSIDE[name], StdioTests(tests=cases), client))
    assert report.outcome == "passed", report.explain()


def test_a_deep_recursion_that_fails_alone_fails_behind_a_test_that_raised_the_limit(with_pair_client):
    code = "import sys\nn = int(input())\nif n > 28: sys.setrecursionlimit(9000)\ndef f(k): return k and 1 + f(k - 1)\nprint(f(2000))"
    tests = StdioTests(tests=tuple(StdioCase(input=text, output="2000\n") for text in INPUTS))
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.passed == sum(int(text) > 28 for text in INPUTS), report.explain()


def test_numbers_after_a_seed_of_another_test_are_not_foretold(with_pair_client):
    code = "import random\nn = int(input())\nif n > 28: random.seed(1)\nprint(random.getrandbits(64))"
    import random

    state, cases = random.Random(1), []
    for text in INPUTS:
        state = random.Random(1) if int(text) > 28 else state
        cases.append(StdioCase(input=text, output=f"{state.getrandbits(64)}\n"))
    report = with_pair_client(lambda client: grade(code, StdioTests(tests=tuple(cases)), client))
    assert report.passed == sum(int(text) > 28 for text in INPUTS), report.explain()


@pytest.mark.parametrize(
    "code",
    [
        "import decimal as d\nc = d.getcontext\nd.setcontext(d.Context(prec=3))",
        "__import__('math').sqrt = abs",
        "from importlib import import_module\nm = import_module('math')\nm.sqrt = abs",
        "import math\nvars(math)['sqrt'] = abs",
        "import math\nmath.__dict__.update(sqrt=abs)",
        "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (-1, -1))",
        "from signal import signal as on\non(2, print)",
        "exec('import math; math.sqrt = abs')",
        "import math\nm: object = math\nm.sqrt = abs",
        "import math\nm, k = math, 1\nm.sqrt = abs",
        "import math\nfor m in [math]: m.sqrt = abs",
        "import math\n(m := math).sqrt = abs",
        "import math\ndef g(m=math): m.sqrt = abs\ng()",
        "import math\ndef g(m): m.sqrt = abs\ng(m=math)",
        "import math\ndef m(): return math\nm().sqrt = abs",
        "import os, time\nos.environ['TZ'] = 'UTC'\ntime.tzset()",
        "from time import process_time_ns as clock\nprint(clock())",
        "import time as t\nprint(t.thread_time())",
        "import time\nprint(time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID))",
        "import os\nprint(os.times().user)",
        "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
        "import gc\nprint(gc.get_count())",
        "import sys\nprint(sys.getallocatedblocks())",
        "print(open('/proc/self/stat').read())",
        "from decimal import *\nsetcontext(Context(prec=3))",
        "from os import *\nchdir('/')",
    ],
)
def test_a_program_that_may_leave_something_is_known(code):
    assert leaves_state(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "import sys\ninput = sys.stdin.readline\nsys.setrecursionlimit(10**6)\nx = [0]\nx[0] = 1",
        "from decimal import getcontext, Decimal\ngetcontext().prec = 50\nprint(Decimal(2).sqrt())",
        "import os, random, math\nos.environ['OMP_NUM_THREADS'] = '1'\nrandom.seed(7)\nx = [math.inf]\nx.append(math.pi)",
        "import numpy as np, itertools, threading\na = np.setdiff1d([1], [2])\ne = threading.Event()\ne.set()\na.sort()",
        "from collections import Counter, deque\nq = deque()\nq.append(1)\nc = Counter()\nc.update('ab')\nc['a'] += 1",
        "import heapq as h\nq = []\nh.heappush(q, 1)\nq[0] = 2\nclass Node: n = 0\nNode.n += 1",
        "import sys, io\nsys.stdin = io.StringIO('1')\nsys.stdout = io.StringIO()",
        "from math import *\nfrom collections import *\ndef set_up(times): return times\nset_up(3)\nsignal = 4\nprint(signal, sqrt(2))",
        "import time\nstart = time.time()\nwhile time.perf_counter() + time.monotonic() < 0: pass",
        "import time, string\ntime = 3\nprint(time)\nfor string in 'ab': print(string)",
        "import sys\nsys.stdin = open('/dev/stdin')\nprint(open(0).read())",
        "from itertools import permutations as p\nfrom bisect import insort\np = []\np.append(1)\np[0] = 2\ninsort(p, 3)",
        "from collections import defaultdict\nd = defaultdict(list)\nd[1].append(2)\nclass A: pass\na = A()\na.x = 1",
    ],
)
def test_ordinary_programs_leave_nothing(code):
    assert not leaves_state(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "os.environ['X'] = '1'",
        "os.environ.clear()",
        "os.environ = {}",
        "os.environ._data = {}",
        "del os.environ._data",
    ],
)
def test_the_environment_is_put_back_whatever_was_done_to_it(code: str) -> None:
    mapping, before, state = os.environ, dict(os.environ), ProcessState()
    exec(code)
    state.restore()
    assert os.environ is mapping and dict(os.environ) == before
