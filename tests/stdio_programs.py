"""Programs as contestants write them: a preamble, a way to read, something to compute, a way to print, an end.

Every combination is a whole program; what plain Python makes of it is what it should come to.
"""

# ruff: noqa: E501 - a part of a program is a line where it can be

import random
import textwrap
from collections.abc import Iterator

PREAMBLES = (
    "",
    "import sys\nsys.setrecursionlimit(10 ** 6)",
    "import sys\nsys.setrecursionlimit(1 << 20)\nsys.set_int_max_str_digits(0)",
    "from math import *\nfrom collections import *\nfrom itertools import *\nfrom functools import *",
    "import gc\ngc.disable()",
    "import faulthandler\nfaulthandler.enable()",
    "import warnings\nwarnings.filterwarnings('ignore')",
    "import warnings\nwarnings.warn('slow')",
    "import sys\nassert sys.stdin.mode == 'r' and sys.stdout.name == '<stdout>' and not sys.stdin.isatty()",
    "import sys\nprint('debug', '\\ud83d', file=sys.stderr)",
    "import os, sys\nLOCAL = os.path.exists('input.txt.local')\nif LOCAL:\n    sys.stdin = open('input.txt.local')",
    "import signal\nsignal.alarm(900)",
    "import random\nrandom.seed(7)",
    "import resource\nresource.setrlimit(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK))",
    "import sys\nsys.stdout.reconfigure(line_buffering=True)",
    "# -*- coding: utf-8 -*-\nfrom __future__ import annotations\nimport typing as t",
    "import inspect\ndef _here(): pass\nassert 'def _here' in inspect.getsource(_here) and __file__.endswith('.py')",
    "import sys\nold, sys.stdout = sys.stdout, sys.stdout",
    "import atexit, sys\natexit.register(sys.stdout.flush)",
    "print = __builtins__.print",
)
READERS = (
    "n = int(input())\nxs = list(map(int, input().split()))\nwords = input().split()",
    "import sys\ninput = sys.stdin.readline\nn = int(input())\nxs = [int(x) for x in input().split()]\nwords = input().split()",
    "import sys\ninput = lambda: sys.stdin.readline().rstrip('\\r\\n')\nn = int(input())\nxs = [*map(int, input().split())]\nwords = input().split()",
    "import sys\ndata = sys.stdin.read().split()\nn = int(data[0])\nxs = list(map(int, data[1:n + 1]))\nwords = data[n + 1:]",
    "import sys\ndata = sys.stdin.buffer.read().split()\nn, *xs = map(int, data[:int(data[0]) + 1])\nwords = [w.decode() for w in data[n + 1:]]",
    "import io, os\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\nn = int(input())\nxs = list(map(int, input().split()))\nwords = input().decode().split()",
    "data = open(0).read().split()\nn = int(data[0])\nxs = list(map(int, data[1:n + 1]))\nwords = data[n + 1:]",
    "import sys\nit = iter(sys.stdin.read().split())\nn = int(next(it))\nxs = [int(next(it)) for _ in range(n)]\nwords = list(it)",
    "import sys\ndef tokens():\n    for line in sys.stdin:\n        yield from line.split()\nget = tokens().__next__\nn = int(get())\nxs = [int(get()) for _ in range(n)]\nwords = [get() for _ in range(n)]",
    "import sys\nrd = sys.stdin.buffer.readline\nn = int(rd())\nxs = list(map(int, rd().split()))\nwords = rd().decode().split()",
    "import io, sys\nsys.stdin = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8')\nn = int(input())\nxs = list(map(int, input().split()))\nwords = input().split()",
    "import fileinput\nlines = [line for line in fileinput.input()]\nn = int(lines[0])\nxs = list(map(int, lines[1].split()))\nwords = lines[2].split()",
    "lines = open('/dev/stdin').readlines()\nn = int(lines[0])\nxs = list(map(int, lines[1].split()))\nwords = lines[2].split()",
    "import mmap\ndata = mmap.mmap(0, 0, access=mmap.ACCESS_READ).read().decode().split()\nn = int(data[0])\nxs = list(map(int, data[1:n + 1]))\nwords = data[n + 1:]",
    "import re, sys\nhead, second, third = sys.stdin.read().split('\\n')[:3]\nn = int(head)\nxs = [int(x) for x in re.findall(r'-?\\d+', second)]\nwords = re.findall(r'\\S+', third)",
    "lines = []\nwhile True:\n    try:\n        lines.append(input())\n    except EOFError:\n        break\nn = int(lines[0])\nxs = list(map(int, lines[1].split()))\nwords = lines[2].split()",
    "import sys\nn, xs, words = (line.split() for line in sys.stdin.readlines()[:3])\nn = int(n[0])\nxs = [int(x) for x in xs]",
    "import contextlib, io, sys\nwith contextlib.redirect_stdout(io.StringIO()):\n    n = int(input('n? '))\n    xs = list(map(int, input('xs? ').split()))\n    words = input().split()",
    "import os\nwith os.fdopen(0, 'rb', closefd=False) as f:\n    n = int(f.readline())\n    xs = list(map(int, f.readline().split()))\n    words = f.readline().decode().split()",
    "import sys\nbuf = bytearray()\nwhile chunk := sys.stdin.buffer.raw.read(17):\n    buf += chunk\ndata = buf.decode().split()\nn = int(data[0])\nxs = list(map(int, data[1:n + 1]))\nwords = data[n + 1:]",
)
TASKS = (
    "return [str(x) for x in sorted(xs)]",
    "import itertools\nreturn [' '.join(map(str, itertools.accumulate(xs)))]",
    "import heapq\nh = xs[:]\nheapq.heapify(h)\nreturn [str(heapq.heappop(h)) for _ in range(n)]",
    "import bisect\ntails = []\nfor x in xs:\n    i = bisect.bisect_left(tails, x)\n    tails[i:i + 1] = [x]\nreturn [str(len(tails))]",
    "from collections import Counter\nreturn [f'{w} {c}' for w, c in Counter(words).most_common(3)]",
    "from functools import lru_cache\n@lru_cache(None)\ndef best(i, s):\n    return 0 if i == n else max(best(i + 1, s), (x := xs[i]) * (s + x > 0) + best(i + 1, (s + x) % 7))\nreturn [str(best(0, 0))]",
    "def depth(k):\n    return 0 if k == 0 else 1 + depth(k - 1)\nreturn [str(depth(n * 7))]",
    "from collections import deque\nq, seen = deque([0]), {0}\nwhile q:\n    i = q.popleft()\n    for j in ((i + 1) % n, abs(xs[i]) % n):\n        if j not in seen:\n            seen.add(j)\n            q.append(j)\nreturn [str(len(seen)), str(sorted(seen))]",
    "from fractions import Fraction\nreturn [str(sum((Fraction(1, abs(x) + 1) for x in xs), Fraction(0)))]",
    "from decimal import Decimal, getcontext\ngetcontext().prec = 30\nreturn [str(sum(Decimal(x).sqrt() for x in map(abs, xs)))]",
    "return [w[::-1].upper() for w in words]",
    "import math\nreturn [str(math.gcd(*xs)), str(math.comb(n + 5, 3)), '%.6f' % math.hypot(*xs), f'{sum(xs) / n:.3f}']",
    "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass Item:\n    key: int\n    name: str = field(compare=False)\nreturn [str(i) for i in sorted(Item(x, w) for x, w in zip(xs, words))]",
    "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\nreturn [repr(P(x)) for x in xs[:3]]",
    "import re\nreturn [re.sub(r'[aeiou]', lambda m: m[0].upper(), ' '.join(words))]",
    "import json\nreturn [json.dumps({'n': n, 'xs': xs, 'words': words}, ensure_ascii=False)]",
    "import itertools\nreturn [''.join(f'{k}{len(list(g))}' for k, g in itertools.groupby(''.join(words)))]",
    "from functools import cmp_to_key\nreturn [''.join(sorted(map(str, map(abs, xs)), key=cmp_to_key(lambda a, b: (a + b < b + a) - (a + b > b + a))))]",
    "import random\nrandom.seed(n)\nrandom.shuffle(xs)\nreturn [str(xs), str(random.random())]",
    "match xs:\n    case [a, *rest] if a > 0:\n        return [f'positive {a} {len(rest)}']\n    case [a, *_]:\n        return [f'other {a}']",
    "sieve = bytearray([1]) * 500\nfor p in range(2, 500):\n    if sieve[p]:\n        sieve[p * p::p] = bytes(len(range(p * p, 500, p)))\nreturn [str(sum(sieve) - 2)]",
    "m = 10 ** 9 + 7\nreturn [str(pow(abs(x) + 2, n, m) * pow(abs(x) + 2, -1, m) % m) for x in xs]",
    "parent = list(range(n))\ndef find(x):\n    while parent[x] != x:\n        parent[x] = parent[parent[x]]\n        x = parent[x]\n    return x\nfor i, x in enumerate(xs):\n    parent[find(i)] = find(abs(x) % n)\nreturn [str(len({find(i) for i in range(n)}))]",
    "from enum import Enum, auto\nclass C(Enum):\n    RED = auto()\n    BLUE = auto()\nreturn [C(1 + x % 2).name for x in xs]",
    "out = []\nfor x in xs:\n    try:\n        out.append(str(100 // (x % 3)))\n    except ZeroDivisionError as e:\n        out.append(str(e))\nreturn out",
    "class Node:\n    __slots__ = ('v', 'next')\n    def __init__(self, v, next=None):\n        self.v, self.next = v, next\nhead = None\nfor x in xs:\n    head = Node(x, head)\nout = []\nwhile head:\n    out.append(str(head.v))\n    head = head.next\nreturn out",
    "import string, datetime, operator, statistics\nd = datetime.date(2024, 1, 1) + datetime.timedelta(days=n)\nreturn [d.isoformat(), string.ascii_lowercase[n % 26], str(statistics.median(xs)), str(operator.xor(n, 5))]",
    "return [str(2 ** (n * 50))]",
    "dp = [[0] * (n + 1) for _ in range(n + 1)]\nfor i in range(n):\n    for j in range(n):\n        dp[i + 1][j + 1] = dp[i][j] + 1 if words[i][0] == words[j][-1] else max(dp[i][j + 1], dp[i + 1][j])\nreturn [str(dp[n][n])]",
    "return [f'{x:08b} {x:+d} {x / 7:.10g} {x!r:>6} {complex(x, 1)}' for x in xs]",
)
WRITERS = (
    "for line in solve(n, xs, words):\n    print(line)",
    "print('\\n'.join(solve(n, xs, words)))",
    "import sys\nsys.stdout.write('\\n'.join(solve(n, xs, words)) + '\\n')",
    "def main():\n    print(*solve(n, xs, words), sep='\\n')\nif __name__ == '__main__':\n    main()",
    "import sys, threading\nsys.setrecursionlimit(1 << 25)\nthreading.stack_size(1 << 27)\nt = threading.Thread(target=lambda: print(*solve(n, xs, words)))\nt.start()\nt.join()",
    "import threading\nthreading.Thread(target=lambda: print(*solve(n, xs, words), sep='\\n')).start()",
    "import threading, time\ndef late():\n    time.sleep(0.01)\n    threading.Thread(target=lambda: print(*solve(n, xs, words))).start()\nthreading.Thread(target=late).start()",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n    for lines in pool.map(lambda k: solve(n, xs[:], words), range(2)):\n        print(*lines)",
    "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\npool.submit(lambda: print(*solve(n, xs, words)))",
    "import asyncio\nasync def main():\n    loop = asyncio.get_running_loop()\n    print(*await loop.run_in_executor(None, solve, n, xs, words))\n    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))\nasyncio.run(main())",
    "import asyncio\nloop = asyncio.new_event_loop()\nprint(*loop.run_until_complete(loop.run_in_executor(None, solve, n, xs, words)))",
    "import atexit\nout = []\natexit.register(lambda: print('\\n'.join(out)))\nout += solve(n, xs, words)",
    "import sys\nsys.stdout.buffer.write('\\n'.join(solve(n, xs, words)).encode())",
    "import atexit, io, os, sys\nsys.stdout = io.StringIO()\natexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nprint(*solve(n, xs, words), sep='\\n')",
    "import io, sys\nsys.stdout = io.TextIOWrapper(open(1, 'wb', closefd=False), encoding='utf-8')\nprint(*solve(n, xs, words))",
    "import os\nos.write(1, '\\n'.join(solve(n, xs, words)).encode())",
    "import sys\nprint(*solve(n, xs, words), file=sys.__stdout__)",
    "import contextlib, io\nheld = io.StringIO()\nwith contextlib.redirect_stdout(held):\n    print(*solve(n, xs, words))\nprint(held.getvalue(), end='')",
    "import sys\ndef say(*a, **k):\n    print(*a, **k)\n    print(*a, file=sys.stderr)\nsay(*solve(n, xs, words), sep=' | ')",
    "class Last:\n    def __del__(self):\n        print(*solve(n, xs, words))\nlast = Last()",
    "def lines():\n    try:\n        yield from solve(n, xs, words)\n    finally:\n        print('closed')\ng = lines()\nprint(next(g))",
    "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(message)s')\nfor line in solve(n, xs, words):\n    logging.info(line)",
    "out = open(1, 'w', encoding='utf-8', closefd=False)\nout.write(' '.join(solve(n, xs, words)))",
    "from types import GeneratorType\ndef bootstrap(f, stack=[]):\n    def wrapped(*args):\n        if stack:\n            return f(*args)\n        to = f(*args)\n        while True:\n            if type(to) is GeneratorType:\n                stack.append(to)\n                to = next(to)\n            else:\n                stack.pop()\n                if not stack:\n                    return to\n                to = stack[-1].send(to)\n    return wrapped\n@bootstrap\ndef total(k):\n    yield 0 if k == 0 else (yield total(k - 1)) + k\nprint(total(3000), *solve(n, xs, words))",
    "class Solution:\n    def run(self):\n        return solve(n, xs, words)\nprint(*Solution().run(), sep='\\n', flush=True)",
    "exec('for line in solve(n, xs, words): print(line)')",
    "import sys\nsys.stdout.writelines(line + '\\n' for line in solve(n, xs, words))",
    "from concurrent.futures import ProcessPoolExecutor\nif __name__ == '__main__':\n    with ProcessPoolExecutor(1) as pool:\n        print(*pool.submit(solve, n, xs, words).result())",
)
ENDS = (
    *[""] * 12,
    "exit()",
    "quit(0)",
    "import sys\nsys.exit()",
    "raise SystemExit(0)",
    "import sys\nsys.exit('wrong input')",
    "import sys\nsys.exit(3)",
    "1 / 0",
    "assert False, 'not reached'",
    "import sys\nsys.stdout.flush()\nimport os\nos._exit(0)",
    "import sys\nsys.stdout.close()",
    "import sys\nsys.stdin.close()",
    "input()\ninput()\ninput()\ninput()",
    "def f(): f()\nf()",
    "import time\ntime.sleep(0.002)",
)


def make_program(chance: random.Random) -> tuple[str, str]:
    """A program and its standard input."""
    parts = [chance.choice(PREAMBLES), chance.choice(READERS)]
    parts.append("def solve(n, xs, words):\n" + textwrap.indent(chance.choice(TASKS), "    "))
    writer, end_of_program = chance.choice(WRITERS), chance.choice(ENDS)
    if (".start()" in writer or "submit(lambda" in writer) and (
        "close()" in end_of_program or "_exit" in end_of_program
    ):
        # Which is first, is not for the program to say.
        end_of_program = ""
    if "setrecursionlimit" in parts[0] + writer and end_of_program.startswith("def f()"):
        # A recursion without end that no limit stops takes all memory there is.
        end_of_program = ""
    parts += [writer, end_of_program]
    n = chance.randint(1, 12)
    xs = " ".join(str(chance.randint(-50, 50)) for _ in range(n))
    words = " ".join(chance.choice(("abba", "x", "héé", "世界", "zz", "Q-1")) for _ in range(n))
    end = chance.choice(("\n", "\n", "\n", "\r\n"))
    stdin = end.join((str(n), xs, words)) + chance.choice((end, end, ""))
    return "\n".join(filter(None, parts)) + "\n", stdin


def programs(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """So many of them, always the same for one seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield make_program(chance)
