"""What every provider of SandboxFusion's API must do; `test_contract.py` runs it on each one there is.

Each check is a coroutine that takes a `SandboxClient` and raises AssertionError.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from verl_coder.sandbox import RunRequest, SandboxClient

Check = Callable[[SandboxClient], Awaitable[None]]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    """Add a check to the list."""
    CHECKS.append(function)
    return function


@check
async def answers_its_ping(client: SandboxClient) -> None:
    assert await client.ping()


@check
async def success_carries_stdout_and_status_zero(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="print(1 + 1)"))
    assert response.status == "Success"
    assert response.run_result is not None
    assert (response.run_result.status, response.run_result.return_code) == ("Finished", 0)
    assert response.run_result.stdout == "2\n"
    assert response.compile_result is None


@check
async def an_exception_is_failed_with_status_one_and_a_traceback(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="def f():\n    return {}['missing']\nf()"))
    assert response.status == "Failed"
    assert response.run_result is not None and response.run_result.return_code == 1
    assert "KeyError: 'missing'" in (response.run_result.stderr or "")
    assert "line 2, in f" in (response.run_result.stderr or "")


@check
async def the_exit_status_is_the_programs(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="import sys; sys.exit(7)"))
    assert response.run_result is not None and response.run_result.return_code == 7


@check
async def a_syntax_error_is_the_programs_failure(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="def f(:"))
    assert response.status == "Failed"
    assert response.run_result is not None and "SyntaxError" in (response.run_result.stderr or "")


@check
async def stdin_is_given_and_null_is_end_of_file(client: SandboxClient) -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    for stdin, expected in ((None, "0"), ("abc", "3"), ("x" * 300_000, "300000")):
        response = await client.run_code(RunRequest(code=code, stdin=stdin))
        assert response.run_result is not None and (response.run_result.stdout or "").strip() == expected


@check
async def a_time_out_keeps_the_output_so_far(client: SandboxClient) -> None:
    code = "import time\nprint('before', flush=True)\ntime.sleep(30)"
    response = await client.run_code(RunRequest(code=code, run_timeout=0.5))
    assert response.status == "Failed"
    assert response.run_result is not None
    assert response.run_result.status == "TimeLimitExceeded"
    assert response.run_result.return_code is None
    assert response.run_result.stdout == "before\n"


@check
async def files_go_in_and_come_out(client: SandboxClient) -> None:
    content = bytes(range(256))
    request = RunRequest(
        code="data = open('sub/in.bin', 'rb').read()\nopen('out.bin', 'wb').write(data[::-1])",
        files={"sub/in.bin": base64.b64encode(content).decode(), "skipped": None},
        fetch_files=("out.bin", "missing.txt"),
    )
    response = await client.run_code(request)
    assert response.status == "Success", response
    assert list(response.files) == ["out.bin"]
    assert base64.b64decode(response.files["out.bin"]) == content[::-1]


@check
async def bash_runs(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="echo hello | tr a-z A-Z; exit 4", language="bash"))
    assert response.run_result is not None
    assert (response.run_result.stdout, response.run_result.return_code) == ("HELLO\n", 4)


@check
async def pytest_tells_passing_from_failing(client: SandboxClient) -> None:
    for comparison, status in (("==", "Success"), ("!=", "Failed")):
        code = f"def test_sum():\n    assert 1 + 1 {comparison} 2\n"
        response = await client.run_code(RunRequest(code=code, language="pytest"))
        assert response.status == status, response


@check
async def programs_at_the_same_time_do_not_mix(client: SandboxClient) -> None:
    async def one(number: int) -> None:
        code = (
            f"import time\nopen('mine', 'w').write('{number}')\ntime.sleep(0.02)\nprint(open('mine').read())"
        )
        response = await client.run_code(RunRequest(code=code, run_timeout=20))
        assert response.run_result is not None and response.run_result.stdout == f"{number}\n"

    await asyncio.gather(*map(one, range(24)))
