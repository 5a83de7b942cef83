"""What is out of a solution's reach is counted and named, where a test did not pass."""

import pytest

from verl_coder.grading import grade
from verl_coder.grading.apart import out_of_reach
from verl_coder.problems import PytestTests


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def test_a(tmp_path, x): pass", ["tmp_path"]),
        ("with patch.object(m, 'f'): pass", ["patch()"]),
        ("with mock.patch('m.f') as p, patch('m.g'): pass", ["patch()"]),
        ("with tempfile.TemporaryDirectory() as d: pass", ["TemporaryDirectory()"]),
        ("assert Color.__members__", ["__members__"]),
        ("match f():\n    case Point(1, 2): pass", ["match of a class"]),
        (
            "async def go():\n    async with a() as b: return [x async for x in g()]",
            ["async with", "async for"],
        ),
        ("async def go(): return await asyncio.gather(f(1), f(2))", ["asyncio.gather()"]),
        ("async def go(): await asyncio.wait_for(f(9), 1)", ["asyncio.wait_for()"]),
        (
            "async def go():\n    async with asyncio.timeout(1): await f()",
            ["async with", "asyncio.timeout()"],
        ),
        ("asyncio.run(f(1))\nprocess.wait()\nsocket.timeout()", []),
        ("assert f(1) == 2 and tmp_path != mkdtemp", []),
        ("no Python", []),
    ],
)
def test_it_is_known_from_the_source(source, names):
    assert out_of_reach([source]) == names


def test_a_failure_beside_it_says_so(with_pair_client):
    test = (
        "from solution import load\ndef test_it(tmp_path):\n    p = tmp_path / 'a'\n    p.write_text('x')\n"
    )
    suite = PytestTests(
        test=test + "    assert load(p) == 'x'\ndef test_other():\n    assert load is not None\n"
    )
    report = with_pair_client(lambda client: grade("def load(p): return open(p).read()", suite, client))
    assert (report.passed, report.unsplittable) == (1, 1)
    assert "the tests use tmp_path, which the solution's process does not see" in report.message
