"""A program finds the process that `python main.py` gives it: stdout, exit status and stderr are the same."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from plain_python import PROGRAMS, STDIN, UNSTABLE_STDERR, Ended, run_plain

from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox


@pytest.fixture(scope="module")
def ends(server: EmbeddedSandbox) -> dict[str, tuple[Ended, Ended]]:
    """What each program came to in the sandbox and as plain Python; all at once, since most of it is waiting."""

    async def run(code: str, client: SandboxClient) -> Ended:
        response = await client.run_code(RunRequest(code=code, stdin=STDIN, run_timeout=20))
        result = response.run_result
        assert result is not None
        return Ended(
            result.stdout or "",
            -999 if result.return_code is None else result.return_code,
            result.stderr or "",
        )

    async def run_all() -> list[Ended]:
        async with SandboxClient(server.url) as client:
            return await asyncio.gather(*(run(code, client) for code in PROGRAMS.values()))

    with ThreadPoolExecutor(4) as pool:
        plain = list(pool.map(run_plain, PROGRAMS.values()))
    return dict(zip(PROGRAMS, zip(asyncio.run(run_all()), plain, strict=True), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_ends_as_plain_python_does(name: str, ends: dict[str, tuple[Ended, Ended]]) -> None:
    ours, plain = ends[name]
    assert ours[:2] == plain[:2], (ours.stderr, plain.stderr)
    if name not in UNSTABLE_STDERR:
        assert ours.without_addresses() == plain.without_addresses()
