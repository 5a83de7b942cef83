"""Output is drained while the program runs, cut with head, tail and mark, and always valid JSON."""

from verl_coder.sandbox import RunRequest, SandboxClient


async def test_one_megabyte_comes_back_whole(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="import sys; sys.stdout.write('ab' * 500_000)"))
    assert response.run_result is not None and response.run_result.stdout == "ab" * 500_000


async def test_ten_megabytes_are_cut_with_head_tail_and_mark(client: SandboxClient) -> None:
    code = "print('HEAD')\nfor _ in range(10):\n    print('x' * 1_000_000)\nprint('TAIL')"
    response = await client.run_code(RunRequest(code=code, run_timeout=20))
    assert response.run_result is not None and response.status == "Success"
    stdout = response.run_result.stdout or ""
    assert stdout.startswith("HEAD\n") and stdout.endswith("TAIL\n")
    assert "bytes of output cut here" in stdout and len(stdout) < 3 << 20
    dropped = int(stdout.split("... [")[1].split(" ")[0])
    mark = f"\n... [{dropped} bytes of output cut here] ...\n"
    assert len(stdout) - len(mark) + dropped == 10 * 1_000_001 + 10


async def test_undecodable_bytes_do_not_break_the_answer(client: SandboxClient) -> None:
    response = await client.run_code(RunRequest(code="import os; os.write(1, b'a\\xff\\xfe\\x00b')"))
    assert response.run_result is not None and response.run_result.stdout == "a\ufffd\ufffd\x00b"


async def test_a_character_cut_in_the_middle_does_not_break_the_answer(client: SandboxClient) -> None:
    code = "import sys\nsys.stdout.write('a' + 'é' * 5_000_000)"
    response = await client.run_code(RunRequest(code=code, run_timeout=20))
    assert response.run_result is not None and response.status == "Success"
    stdout = response.run_result.stdout or ""
    assert stdout.startswith("aé") and stdout.endswith("é") and "bytes of output cut here" in stdout


async def test_both_streams_are_cut_each_for_itself_and_kept_at_a_time_out(client: SandboxClient) -> None:
    code = (
        "import os\nfor fd in (1, 2):\n    os.write(fd, b'head%d' % fd)\n"
        "    for _ in range(100): os.write(fd, b'x' * 100_000)\n    os.write(fd, b'tail%d' % fd)\nwhile True: pass"
    )
    response = await client.run_code(RunRequest(code=code, run_timeout=2))
    result = response.run_result
    assert result is not None and result.status == "TimeLimitExceeded"
    for number, text in ((1, result.stdout or ""), (2, result.stderr or "")):
        assert text.startswith(f"head{number}") and text.endswith(f"tail{number}") and "cut here" in text


async def test_output_of_threads_and_atexit_is_kept(client: SandboxClient) -> None:
    code = (
        "import atexit, threading, time\natexit.register(print, 'atexit')\n"
        "def late():\n    time.sleep(0.05)\n    print('thread')\nthreading.Thread(target=late).start()"
    )
    response = await client.run_code(RunRequest(code=code))
    assert response.run_result is not None and response.run_result.stdout == "thread\natexit\n"


async def test_numpy_is_loaded(client: SandboxClient) -> None:
    code = "import sys\nloaded = 'numpy' in sys.modules\nimport numpy\nprint(loaded, numpy.arange(4).sum())"
    response = await client.run_code(RunRequest(code=code))
    assert response.run_result is not None and response.run_result.stdout == "True 6\n"


async def test_random_state_differs_between_programs(client: SandboxClient) -> None:
    code = "import random, numpy\nprint(random.random(), numpy.random.random())"
    seen: set[str] = set()
    for _ in range(6):
        response = await client.run_code(RunRequest(code=code))
        assert response.run_result is not None and response.run_result.stdout
        seen |= set(response.run_result.stdout.split())
    assert len(seen) == 12


async def test_a_program_over_its_output_limit_is_ended_and_one_below_is_kept_whole(
    client: SandboxClient,
) -> None:
    request = RunRequest(code="while True: print('y' * 99)", output_limit_bytes=1000, run_timeout=60)
    result = (await client.run_code(request)).run_result
    assert result is not None and (result.status, result.return_code) == ("Finished", -9)
    assert (result.stdout or "").startswith("yyy") and "cut here" in (result.stdout or "")
    request = RunRequest(code="print('y' * 5_000_000)", output_limit_bytes=6_000_000)
    result = (await client.run_code(request)).run_result
    assert result is not None and result.stdout == "y" * 5_000_000 + "\n"


async def test_a_program_that_prints_just_its_limit_is_kept_whole(client: SandboxClient) -> None:
    for limit in (7, 8, 1001):
        request = RunRequest(code=f"print('y' * {limit - 1})", output_limit_bytes=limit)
        result = (await client.run_code(request)).run_result
        assert result is not None and (result.return_code, len(result.stdout or "")) == (0, limit)


async def test_outputs_can_be_opened_by_their_paths(client: SandboxClient) -> None:
    request = RunRequest(code="echo out > /dev/stdout; echo err > /dev/stderr", language="bash")
    result = (await client.run_code(request)).run_result
    assert result is not None and (result.stdout, result.stderr) == ("out\n", "err\n")
