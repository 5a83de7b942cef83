"""Plain `python main.py` as the measure: a table of small programs, each of which shows one thing of its process."""
# ruff: noqa: E501 - a program is a line where it can be

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

STDIN = "5 7\r\nsecond\nlast"
ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


class Ended(NamedTuple):
    """What a program came to."""

    stdout: str
    status: int
    stderr: str

    def without_addresses(self) -> str:
        """Its stderr, but for where objects lie in memory."""
        return re.sub("0x[0-9a-f]+", "0x", self.stderr)


def _as_from_a_terminal() -> None:
    """A job in a shell's background, or under nohup, would hand on that it ignores these."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_DFL)


def run_plain(code: str, stdin: str = STDIN) -> Ended:
    """Run `code` as a file with `stdin` from a file; its folder is called /tmp in what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "main.py")
        path.write_text(code)
        given = Path(folder, "input.txt")
        given.write_text(stdin, newline="")
        with given.open() as file:
            ended = subprocess.run(
                [sys.executable, str(path)],
                stdin=file,
                capture_output=True,
                cwd=folder,
                timeout=110,
                env={**ENVIRONMENT, "HOME": folder},
                check=False,
                preexec_fn=_as_from_a_terminal,
            )
        texts = [
            data.decode(errors="replace").replace(folder, "/tmp") for data in (ended.stdout, ended.stderr)
        ]
    return Ended(texts[0], ended.returncode, texts[1])


PROGRAMS = {
    "streams": """
import sys
for stream in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__):
    print(stream, stream.mode, stream.name, stream.encoding, stream.errors, stream.newlines, stream.fileno())
    print(stream.line_buffering, stream.write_through, stream.closed, stream.isatty(), stream.seekable())
    print(stream.buffer, stream.buffer.raw, stream.buffer.mode, stream.buffer.name, stream.buffer.raw.closefd)
print(sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
""",
    "main module": """
import sys
print(sorted(globals()), __name__, __spec__, __package__, __doc__, __cached__, __annotations__)
print(type(__builtins__), __builtins__ is sys.modules['builtins'], type(__loader__).__name__, __loader__.path)
print(__file__, sys.argv, sys.path[0], sys.modules['__main__'].__dict__ is globals())
print(sys.flags.safe_path, sys.flags.isolated, sys.getrecursionlimit(), sys.getswitchinterval())
""",
    "source of a function": """
import inspect, linecache
def f(x):
    return x + 1  # here
class C:
    "words"
print(inspect.getsource(f), inspect.getsource(C), inspect.getsourcefile(f), inspect.getmodule(f))
print(linecache.getline(__file__, 4), open(__file__).read() == inspect.getsource(inspect.getmodule(f)))
""",
    "input to its end": "while True:\n    print(repr(input()))",
    "input by lines": "import sys\nprint([line for line in sys.stdin], sys.stdin.readline() == '')",
    "input of bytes": "import sys\nprint(sys.stdin.buffer.read())",
    "input of bytes by lines": "import sys\nprint(next(sys.stdin.buffer), sys.stdin.buffer.readlines())",
    "input by its raw stream": "import sys\nprint(sys.stdin.buffer.raw.readall())",
    "input by its descriptor": "import os\nprint(os.read(0, 3), os.read(0, os.fstat(0).st_size), os.read(0, 9))",
    "input by its number": "print([line for line in open(0)])",
    "input by its path": "print(open('/dev/stdin').read(), open('/proc/self/fd/0').readline())",
    "input by map": "import mmap\nprint(mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:])",
    "input rewound": "import sys\nprint(input(), sys.stdin.seek(0), sys.stdin.read(3), sys.stdin.tell())",
    "input by select": "import select\nprint(select.select([0], [], [], 0)[0])",
    "input with a prompt": "print(input('name? '))",
    "input is for reading": "import os, fcntl\nprint(fcntl.fcntl(0, fcntl.F_GETFL) & os.O_ACCMODE)\nos.write(0, b'x')",
    "input by numpy": "import sys, numpy\nprint(numpy.array(sys.stdin.readline().split(), dtype=int).sum())",
    "input by fileinput": "import fileinput\nprint([line for line in fileinput.input()])",
    "input by os.fdopen": "import os\nprint(os.fdopen(0, 'rb', closefd=False).read())",
    "input in another encoding": (
        "import sys\nsys.stdin.reconfigure(encoding='latin-1', newline=None)\nprint(sys.stdin.read())"
    ),
    "input copied by a child": "import subprocess\nsubprocess.run(['cat'])\nprint(repr(input()))",
    "input in fast templates": """
import os, sys
from io import BytesIO, IOBase
BUFSIZE = 8192
class FastIO(IOBase):
    newlines = 0
    def __init__(self, file):
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None
    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, BUFSIZE))
            self.newlines = b.count(b"\\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()
    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)
class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.readline = lambda: self.buffer.readline().decode("ascii")
sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
input = lambda: sys.stdin.readline().rstrip("\\r\\n")
print(sum(map(int, input().split())))
print(input())
""",
    "output without a newline": "import sys\nsys.stdout.write('no end')",
    "output of surrogates": "print('\\udc80')\nprint('\\ud83d')",
    "errors of surrogates": "import sys\nprint('\\ud83d\\udc80é', file=sys.stderr)",
    "output of bytes": "import sys\nsys.stdout.buffer.write(b'\\xff\\n')\nprint('text')",
    "output and bytes mixed": "import sys\nprint('a')\nsys.stdout.buffer.write(b'b\\n')\nsys.stdout.flush()\nprint('c')",
    "output by its descriptor first": "import os\nprint('late')\nos.write(1, b'early\\n')",
    "output flushed": "import os\nprint('first', flush=True)\nos.write(1, b'second\\n')",
    "output by __stdout__": "import sys\nprint('kept', file=sys.__stdout__)",
    "output by a second wrapper": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(open(1, 'wb', closefd=False))\nprint('kept')\n"
        "print('first', file=sys.__stdout__)"
    ),
    "output by a wrapper of the same buffer": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-16')\nprint('x')"
    ),
    "output replaced and restored": (
        "import io, sys\nsys.stdout = held = io.StringIO()\nprint('held')\nsys.stdout = sys.__stdout__\n"
        "print(held.getvalue())"
    ),
    "output replaced by a string": "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')",
    "output replaced by None": "import sys\nsys.stdout = None\nprint('lost')\nsys.__stdout__.write('kept')",
    "output that cannot be flushed": "import sys\nclass S:\n    write = print\nsys.stdout = S()",
    "output closed": "import sys\nprint('x')\nsys.stdout.close()",
    "output detached": "import sys\nbuffer = sys.stdout.detach()\nbuffer.write(b'x')",
    "output whose descriptor is closed": "import os\nprint('x')\nos.close(1)",
    "output to a closed pipe": (
        "import os\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\nprint('x', flush=True)"
    ),
    "output in a file left open": "f = open(1, 'w', closefd=False)\nf.write('kept')\ndef g(): return f",
    "output of a file object alone": "open('/dev/stdout', 'w').write('kept')",
    "output of a child": "import subprocess, sys\nprint('1', flush=True)\nsubprocess.run(['echo', '2'])\nprint('3')",
    "output of a fork": "import os\nprint('buffered')\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('end')",
    "output of redirect_stdout": (
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as held:\n    print('x')\nprint(held.getvalue())"
    ),
    "errors are written by lines": "import os, sys\nsys.stderr.write('a\\nb')\nos.write(2, b'c')",
    "exit with a number": "import sys\nprint('x')\nsys.exit(3)",
    "exit with a negative number": "import sys\nsys.exit(-1)",
    "exit with an enormous number": "import sys\nsys.exit(1 << 70)",
    "exit with 256": "import sys\nsys.exit(256)",
    "exit with words": "import sys\nsys.exit('bad input')",
    "exit with a tuple": "import sys\nsys.exit((1, 'é'))",
    "exit with a bool": "import sys\nsys.exit(True)",
    "exit with None": "raise SystemExit",
    "exit with an object": "class E:\n    def __str__(self): raise ValueError\nraise SystemExit(E())",
    "exit by a builtin": "print('x')\nexit()\nprint('y')",
    "exit by quit": "quit('done')",
    "exit at once": "import os\nprint('lost')\nos._exit(4)",
    "exit in a finally": "import sys\ntry:\n    sys.exit(2)\nfinally:\n    print('finally')",
    "exit in a thread": (
        "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start()\nt.join()\nprint('x')"
    ),
    "exit by a signal": "import os, signal\nprint('lost')\nos.kill(os.getpid(), signal.SIGTERM)",
    "exit by abort": "import os\nos.abort()",
    "exception": "def f(x):\n    return 1 / x\nprint('x')\nf(\n    0\n)",
    "exception with a cause": "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('é') from e",
    "exception in a context": "try:\n    int('x')\nexcept ValueError:\n    print(1 + '')",
    "exception of its own": "class Mine(Exception): pass\nerror = Mine(1, 2)\nerror.add_note('a note')\nraise error",
    "exception group": "raise ExceptionGroup('many', [ValueError(1), KeyError(2)])",
    "exception whose text fails": "class E(Exception):\n    def __str__(self): raise KeyError\nraise E",
    "exception of a surrogate": "raise ValueError('\\ud83d')",
    "interrupt": "print('x')\nraise KeyboardInterrupt('k')",
    "interrupt by a signal": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)",
    "generator exit": "raise GeneratorExit",
    "syntax error": "x = 1\nif x = 2:\n    pass",
    "indentation error": "if True:\nprint(1)",
    "syntax warning": "print(1 is 1, '\\d')",
    "null byte in code": "print('a')\nx = '\0'",
    "declared encoding": "# -*- coding: latin-1 -*-\nprint('é')",
    "unknown encoding": "# coding: nonesuch\nprint(1)",
    "byte-order mark": "\ufeffprint('x')",
    "future import": "from __future__ import annotations\ndef f(x: nonesuch): pass\nprint(f.__annotations__)",
    "hook for exceptions": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[1])\n1 / 0",
    "hook that fails": "import sys\ndef hook(*a): raise KeyError('hook')\nsys.excepthook = hook\n1 / 0",
    "hook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(5)\n1 / 0",
    "hook for threads": (
        "import threading\nthreading.excepthook = lambda a: print('hook', a.exc_value)\n"
        "threading.Thread(target=int, args=('x',)).start()"
    ),
    "last exception in an exit hook": "import atexit, sys\natexit.register(lambda: print(sys.last_value))\n1 / 0",
    "recursion": "def f(n): return f(n + 1)\nf(0)",
    "recursion caught": "def f(n): return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    print(e)",
    "recursion deeper than the limit": (
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\nprint(f(50000))"
    ),
    "recursion near the limit": "def f(n): return n and 1 + f(n - 1)\nprint(f(985))",
    "recursion in a thread": (
        "import sys, threading\nsys.setrecursionlimit(1 << 25)\nthreading.stack_size(1 << 28)\n"
        "def f(n): return n and 1 + f(n - 1)\nt = threading.Thread(target=lambda: print(f(10**5)))\nt.start()\nt.join()"
    ),
    "recursion of a cached function": (
        "import functools, sys\nsys.setrecursionlimit(10**5)\n@functools.cache\ndef f(n): return n and 1 + f(n - 1)\n"
        "print(f(5000))"
    ),
    "exit hooks": "import atexit\nfor n in range(3): atexit.register(print, n)\nprint('main')",
    "exit hook that fails": "import atexit\natexit.register(print, 'first')\natexit.register(int, 'x')",
    "exit hook that exits": "import atexit, sys\natexit.register(sys.exit, 3)\natexit.register(print, 'x')",
    "exit hook that ends all": "import atexit, os\natexit.register(os._exit, 3)\nprint('lost')",
    "exit hook that registers": "import atexit\natexit.register(lambda: atexit.register(print, 'late'))",
    "exit hook that writes bytes": (
        "import atexit, io, os, sys\nsys.stdout = io.StringIO()\n"
        "atexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nprint('kept')"
    ),
    "exit hook that closes the output": "import atexit, sys\natexit.register(sys.stdout.close)\nprint('x')",
    "exit hook after an exception": "import atexit\natexit.register(print, 'hook')\n1 / 0",
    "exit hook that starts a thread": (
        "import atexit, threading\natexit.register(lambda: threading.Thread(target=print, args=('t',)).start())"
    ),
    "thread that ends last": "import threading\nthreading.Timer(0.05, print, ['late']).start()\nprint('main')",
    "thread started by a thread": (
        "import threading, time\ndef inner():\n    time.sleep(0.05)\n    print('inner')\ndef outer():\n"
        "    time.sleep(0.02)\n    threading.Thread(target=inner).start()\nthreading.Thread(target=outer).start()"
    ),
    "thread before the exit hooks": (
        "import atexit, threading\natexit.register(print, 'hook')\nthreading.Timer(0.05, print, ['thread']).start()"
    ),
    "thread that fails": "import threading\nthreading.Thread(target=lambda: 1 / 0, name='T').start()",
    "thread that is a daemon": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('x')"
    ),
    "thread after an exception": "import threading\nthreading.Timer(0.05, print, ['late']).start()\n1 / 0",
    "threads of its own module": (
        "import _thread, threading\nprint(threading.main_thread().name, threading.active_count(),\n"
        "      threading.current_thread() is threading.main_thread(), threading.get_ident() == _thread.get_ident())"
    ),
    "executor left open": (
        "from concurrent.futures import ThreadPoolExecutor\nimport time\npool = ThreadPoolExecutor(1)\n"
        "for n in range(4): pool.submit(lambda n=n: (time.sleep(0.01 * n), print(n)))"
    ),
    "executor after the end": (
        "import atexit\nfrom concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
        "pool.submit(int)\natexit.register(lambda: pool.submit(print, 'x'))"
    ),
    "process pool left open": (
        "from concurrent.futures import ProcessPoolExecutor\npool = ProcessPoolExecutor(1)\n"
        "print(pool.submit(pow, 2, 5).result())"
    ),
    "process pool": (
        "import multiprocessing\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        "    with multiprocessing.Pool(2) as pool:\n        print(pool.map(f, range(5)))"
    ),
    "process with a queue": (
        "import multiprocessing as m\ndef f(q): q.put(m.current_process().name)\nq = m.Queue()\n"
        "p = m.Process(target=f, args=(q,))\np.start()\nprint(q.get(), m.parent_process())\np.join()\nprint(p.exitcode)"
    ),
    "process not joined": (
        "import multiprocessing, time\ndef f():\n    time.sleep(0.05)\n    print('child')\n"
        "multiprocessing.Process(target=f).start()\nprint('main', flush=True)"
    ),
    "process that is spawned": (
        "import multiprocessing\ndef f(): print('child', __name__)\nif __name__ == '__main__':\n"
        "    p = multiprocessing.get_context('spawn').Process(target=f)\n    p.start()\n    p.join()\n    print(p.exitcode)"
    ),
    "event loop": (
        "import asyncio\nasync def main():\n    loop = asyncio.get_running_loop()\n"
        "    print(await loop.run_in_executor(None, input))\n    await asyncio.sleep(0)\nasyncio.run(main())"
    ),
    "event loop left open": (
        "import asyncio\nloop = asyncio.new_event_loop()\n"
        "print(loop.run_until_complete(loop.run_in_executor(None, input)))"
    ),
    "coroutine never awaited": "async def f(): pass\nf()\nprint('x')",
    "finalizers": """
class A:
    def __init__(self, name): self.name = name
    def __del__(self): print('del', self.name)
a, b = A('a'), A('b')
b.me = b
def f(): return a
""",
    "finalizers without functions": (
        "class A:\n    def __del__(self): print('del', len(str(self)) > 0)\na = A()\nA = None\nb = [a]"
    ),
    "finalizers by weakref": (
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'finalized')\nweakref.finalize(a, print, 2)"
    ),
    "finalizer after an exception": (
        "class A:\n    def __del__(self): print('del')\ndef f():\n    a = A()\n    raise KeyError(1)\nf()"
    ),
    "finalizer to a replaced output": (
        "import io, sys\nclass A:\n    def __del__(self): print('del')\na = A()\nsys.stdout = io.StringIO()"
    ),
    "finalizer that imports": (
        "class A:\n    def __del__(self):\n        try:\n            import heapq\n        except ImportError as e:\n"
        "            print(e)\na = A()"
    ),
    "finalizer that fails": "class A:\n    def __del__(self): raise ValueError('x')\na = A()\nb = a",
    "generator left open": "def g():\n    try:\n        yield\n    finally:\n        print('closed')\nx = g()\nnext(x)",
    "garbage not collected": (
        "import gc\ngc.disable()\nclass A:\n    def __del__(self): print('del')\na = A()\na.me = a\ndel a\nprint('x')"
    ),
    "temporary folder left": (
        "import os, tempfile\nt = tempfile.TemporaryDirectory()\nf = tempfile.NamedTemporaryFile('w+')\n"
        "f.write('x')\nprint(os.path.isdir(t.name), tempfile.gettempdir().count('/') > 0)"
    ),
    "warnings": "import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)\nprint('x')",
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('careful')",
    "resource warning": "import sys\nsys.warnoptions.append('x')\nopen('/dev/null')\nprint('x')",
    "logging": "import logging\nlogging.warning('w')\nlogging.basicConfig()\nlogging.error('e')\nlogging.info('i')",
    "logging to stdout": (
        "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=10, format='%(filename)s:%(lineno)d %(message)s')\n"
        "logging.debug('d')"
    ),
    "signals": (
        "import signal\nfor s in ('SIGINT', 'SIGPIPE', 'SIGTERM', 'SIGCHLD', 'SIGXFSZ', 'SIGALRM', 'SIGHUP'):\n"
        "    print(s, signal.getsignal(getattr(signal, s)))\nprint(signal.pthread_sigmask(0, ()))"
    ),
    "alarm": (
        "import signal, time\ndef late(*a): raise TimeoutError('late')\nsignal.signal(signal.SIGALRM, late)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.02)\ntime.sleep(9)"
    ),
    "faulthandler": "import faulthandler\nprint(faulthandler.is_enabled())\nfaulthandler.enable()\nprint('x')",
    "encodings": (
        "import locale, sys\nprint(sys.getdefaultencoding(), sys.getfilesystemencoding(), locale.getpreferredencoding(),\n"
        "      sys.getfilesystemencodeerrors(), sys.flags.utf8_mode, locale.setlocale(locale.LC_ALL))\n"
        "print(open('x', 'w').encoding)"
    ),
    "integers of many digits": "print(len(str(10 ** 4299)))\nprint(int('9' * 4301))",
    "assertions": "assert 1 + 1 == 3, 'sum'",
    "doctest": "def f(x):\n    '''\n    >>> f(2)\n    5\n    '''\n    return 2 * x\nimport doctest\nprint(doctest.testmod())",
    "unittest": (
        "import io, unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.assertEqual(1, 2)\n"
        "if __name__ == '__main__':\n    unittest.main(testRunner=unittest.TextTestRunner(io.StringIO()),\n"
        "                  argv=['x', '-b'])"
    ),
    "argparse": "import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\np.parse_args()",
    "pickle of its own class": (
        "import pickle, copy\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A, A.__module__)\nprint(A)"
    ),
    "dataclass of its own": (
        "import dataclasses, typing\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 1\n"
        "print(A(), typing.get_type_hints(A))"
    ),
    "imports itself": "import main\nprint(main.__name__, __name__)",
    "imports __main__": "import __main__\nx = 1\nprint(__main__.x, __main__.__file__ == __file__)",
    "imports a file that it writes": "open('other.py', 'w').write('y = 2')\nimport other\nprint(other.y, other.__file__)",
    "import that fails": "import nonesuch.deep",
    "frames": "import sys\nprint(sys._getframe().f_code.co_name, sys._getframe().f_lineno, sys._getframe().f_code.co_filename)",
    "names of builtins": "import builtins\nprint([n for n in dir(builtins) if n != '_'], '_' in dir(builtins))",
    "globals of exec": "exec('x = 1', {})\nns = {}\nexec('y = 2', ns)\nprint(type(ns['__builtins__']), eval('__name__'))",
    "tracing": "import sys\nprint(sys.gettrace(), sys.getprofile(), sys.displayhook is sys.__displayhook__)",
    "garbage collector": "import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.garbage)",
    "folder and mask": "import os\nprint(os.getcwd() == os.path.dirname(__file__), oct(os.umask(0)), os.listdir().count('main.py'))",
    "own source removed": "import os\nos.remove(__file__)\n1 / 0",
    "folder changed": "import os\nos.chdir('/')\ndef f(): 1 / 0\nf()",
    "time": "import time\nprint(time.process_time() < 5, time.perf_counter() > 0, time.thread_time() < 5)",
    "random": "import random\nrandom.seed(5)\nprint(random.random(), random.sample(range(9), 3))",
    "decimal context": "import decimal\nprint(decimal.getcontext())",
    "interactive console": "import code\ncode.interact(banner='', exitmsg='')",
    "debugger at the end of input": "breakpoint()\nprint('x')",
    "displayhook": "import sys\nsys.displayhook('shown')\nprint(_)",
    "help": "help(len)",
    "this": "import this",
    "curses of a terminal": "import os\ntry:\n    os.get_terminal_size()\nexcept OSError as e:\n    print(e.errno)",
    "getpass": "import os\nprint(os.isatty(0), os.isatty(1), os.isatty(2))",
    "print with odd ends": "print('a', 'b', sep='\\r', end='\\x00')\nprint('é', '\\u4e16', '\\U0001f600')",
    "async generator left open": (
        "import asyncio\nasync def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\n"
        "async def main():\n    async for x in g():\n        print(x)\n        break\nasyncio.run(main())"
    ),
}
UNSTABLE_STDERR = {
    "output of a fork",
    "argparse",
    "import that fails",
    "recursion near the limit",
    "recursion",
    "interactive console",
    "finalizer that fails",
    "exit by abort",
    "null byte in code",
    "unknown encoding",
    "exit hook that fails",
    "exit hook that exits",
}
"""Programs whose stderr tells how deep the stack is, where the interpreter lies, or whether code came from a file."""
