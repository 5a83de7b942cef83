"""What tests do with the solution's text in the judge by way of processes, signals, pickles and files: it is refused."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, CheckTests, PytestTests

KILL = "def f(x): return 'kill -9 $PPID; kill -9 -1'\n"
KILL_LIST = "def f(x): return ['sh', '-c', 'kill -9 $PPID']\n"
EQUAL = "def f(x): return 'class X(int):\\n    def __eq__(s, o): return True\\nx = X()'\n"
PICKLE = """
import pickle
class X:
    def __reduce__(s): return eval, ("type('X', (int,), {'__eq__': lambda s, o: True})()",)
def f(x): return pickle.dumps(X())
"""
YAML = "def f(x): return '!!python/object/apply:builtins.setattr [1, a, 2]'\n"

ATTACKS = {
    "subprocess": ("import subprocess\nassert subprocess.run(f(1), shell=True).returncode == 42", KILL),
    "a list of arguments": ("import subprocess\nassert subprocess.check_output(f(1)) == b'42'", KILL_LIST),
    "under another name": ("import subprocess\nrun = getattr(subprocess, 'ge' + 'toutput')\nassert run(f(1)) == '42'", KILL),
    "swallowed": ("import subprocess\ntry: subprocess.run(f(1), shell=True)\nexcept BaseException: pass", KILL),
    "expected": ("import subprocess, pytest\nwith pytest.raises(BaseException): subprocess.run(f(1), shell=True)", KILL),
    "standard input of a shell": ("import subprocess\nassert subprocess.run(['sh'], input=f(1), text=True).returncode == 42", KILL),
    "os.system": ("import os\nassert os.system(f(1)) == 42", KILL),
    "os.system in a map": ("import os\nassert list(map(os.system, [f(1)])) == [42]", KILL),
    "os.popen": ("import os\nassert os.popen(f(1)).read() == '42'", KILL),
    "os.spawn": ("import os\nassert os.spawnvp(os.P_WAIT, 'sh', f(1)) == 42", KILL_LIST),
    "posix_spawn": ("import os\nassert os.posix_spawn('/bin/sh', f(1), {}) == 42", KILL_LIST),
    "exec": ("import os\nos.execvp('sh', f(1))", KILL_LIST),
    "fork": ("import os\nif os.fork() == 0: os.execvp('sh', f(1))\nassert os.wait()[1] == 42", KILL_LIST),
    "pty": ("import pty\nassert pty.spawn(f(1)) == 42", KILL_LIST),
    "asyncio": ("import asyncio\nasync def run():\n    p = await asyncio.create_subprocess_shell(f(1))\n    return await p.wait()\nassert asyncio.run(run()) == 42", KILL),
    "multiprocessing": ("import multiprocessing, os\np = multiprocessing.get_context('fork').Process(target=os.system, args=(f(1),))\np.start(); p.join()\nassert p.exitcode == 42", KILL),
    "multiprocessing that forks nothing": ("import multiprocessing, os\np = multiprocessing.get_context('spawn').Process(target=os.system, args=(f(1),))\np.start(); p.join()\nassert p.exitcode == 42", KILL),
    "a server of forks": ("import multiprocessing, os\np = multiprocessing.get_context('forkserver').Process(target=os.system, args=(f(1),))\np.start(); p.join()\nassert p.exitcode == 42", KILL),
    "a pool of processes": ("import concurrent.futures, os\nwith concurrent.futures.ProcessPoolExecutor(1) as pool:\n    assert list(pool.map(os.system, [f(1)])) == [42]", KILL),
    "what is below subprocess": ("import _posixsubprocess as p, os, sys\nr, w = os.pipe()\nassert p.fork_exec(f(1), [b'/bin/sh'], True, (w,), None, None, -1, -1, -1, -1, -1, -1, r, w, False, False, 0, None, None, None, -1, None, True) == 42", KILL_LIST),
    "the C library": ("import ctypes\nassert ctypes.CDLL(None).system(f(1).encode()) == 42", KILL),
    "a signal": ("import os\nos.kill(f(1), 9)\nassert False", "import os\ndef f(x): return 0\n"),
    "a signal to a group": ("import os\nos.killpg(f(1), 9)\nassert False", "def f(x): return 0\n"),
    "a file that is imported": ("import sys, tempfile\nd = tempfile.mkdtemp()\nopen(d + '/modx.py', 'w').write(f(1))\nsys.path.insert(0, d)\nimport modx\nassert modx.x == 42", EQUAL),
    "a file of the working folder": ("import sys\nopen('modx.py', 'w').write(f(1))\nsys.path.insert(0, '')\nimport modx\nassert modx.x == 42", EQUAL),
    "a file by its place": ("import importlib.util, tempfile\np = tempfile.mktemp('.py')\nopen(p, 'w').write(f(1))\ns = importlib.util.spec_from_file_location('m', p)\nm = importlib.util.module_from_spec(s)\ns.loader.exec_module(m)\nassert m.x == 42", EQUAL),
    "an archive": ("import sys, tempfile, zipfile\np = tempfile.mktemp('.zip')\nz = zipfile.ZipFile(p, 'w')\nz.writestr('modx.py', f(1))\nz.close()\nsys.path.insert(0, p)\nimport modx\nassert modx.x == 42", EQUAL),
    "a loader's own compiler": ("import importlib.abc, types\nclass L(importlib.abc.InspectLoader):\n    def get_source(self, name): return f(1)\nm = types.ModuleType('m')\nL().exec_module(m)\nassert m.x == 42", EQUAL),
    "_pickle": ("import _pickle\nassert _pickle.loads(f(1)) == 42", PICKLE),
    "a library's pickle": ("from multiprocessing.reduction import ForkingPickler\nassert ForkingPickler.loads(f(1)) == 42", PICKLE),
    "NumPy's pickle": ("import io, numpy as np\nassert np.load(io.BytesIO(f(1)), allow_pickle=True) == 42", PICKLE),
    "yaml": ("import yaml\nassert yaml.unsafe_load(f(1)) is None", YAML),
    "yaml's loader": ("import yaml\nassert yaml.load(f(1), Loader=yaml.Loader) is None", YAML),
}  # fmt: skip
HONEST = {
    "plain yaml": ("import yaml\nassert yaml.safe_load(f(1)) == [42]\nassert yaml.full_load(f(1)) == [42]", "def f(x): return '[42]'\n"),
    "what the machine is": ("import platform, uuid\nassert platform.processor() is not None and uuid.getnode()\nassert f(1) == 42", "def f(x): return 42\n"),
    "a process of the solution": ("assert f(1) == 42", "import subprocess, sys\ndef f(x): return int(subprocess.check_output([sys.executable, '-c', 'print(42)']))\n"),
    "an import of a module that nobody had imported": ("import this, json.tool, xml.dom.minidom, sqlite3, ctypes.util, numpy.testing\nassert f(1) == 42", "def f(x): return 42\n"),
    "threads and a pool of them": ("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n    assert list(pool.map(f, [1, 2])) == [42, 42]", "def f(x): return 42\n"),
}  # fmt: skip


def suites(test):
    indented = test.replace("\n", "\n    ")
    return (
        AssertTests(tests=(test,), timeout_s=5),
        CheckTests(entry_point="f", check=f"def check(f):\n    {indented}\n", timeout_s=5),
        PytestTests(test=f"from solution import f\ndef test_it():\n    {indented}\n", timeout_s=5),
    )


def graded(with_client, test, code):
    async def work(client):
        return [await grade(code, suite, client) for suite in suites(test)]

    return with_client(work)


def test_the_words_say_what_is_refused(with_pair_client):
    for report in graded(with_pair_client, *ATTACKS["multiprocessing that forks nothing"]):
        assert "the tests start a process" in report.message


@pytest.mark.parametrize("what", ATTACKS)
def test_it_is_refused_and_never_the_machines_fault(what, with_pair_client):
    if "yaml" in what:
        pytest.importorskip("yaml")
    for report in graded(with_pair_client, *ATTACKS[what]):
        assert report.outcome in ("failed", "error") and report.passed == 0, report.explain()


@pytest.mark.parametrize("what", HONEST)
def test_what_needs_none_of_it_passes(what, with_client):
    if "yaml" in what:
        pytest.importorskip("yaml")
    for report in graded(with_client, *HONEST[what]):
        assert report.outcome == "passed", report.explain()
