"""Two joined programs see each other's socket and nothing else."""

from verl_coder.sandbox import PairRequest, Program, SandboxClient

JUDGE = "import os, socket\npeer = socket.socket(fileno=int(os.environ['PEER_FD']))\n"


async def test_the_judge_talks_to_the_candidate_and_ends_the_pair(client: SandboxClient) -> None:
    response = await client.run_pair(
        PairRequest(
            judge=Program(code=JUDGE + "peer.sendall(b'ping'); print(peer.recv(9).decode())"),
            candidate=Program(code=JUDGE + "peer.sendall(peer.recv(9) * 2)\nwhile True: pass"),
        )
    )
    assert response.status == "Success"
    assert response.judge is not None and response.judge.stdout == "pingping\n"


async def test_a_dead_candidate_is_end_of_file_for_the_judge(client: SandboxClient) -> None:
    response = await client.run_pair(
        PairRequest(
            judge=Program(code=JUDGE + "print(peer.recv(9))"),
            candidate=Program(code="import os; os._exit(3)"),
        )
    )
    assert response.judge is not None and response.judge.stdout == "b''\n"
    assert response.candidate is not None and response.candidate.return_code == 3


async def test_the_pair_ends_at_its_time(client: SandboxClient) -> None:
    response = await client.run_pair(
        PairRequest(
            judge=Program(code=JUDGE + "peer.recv(9)"),
            candidate=Program(code="while True: pass"),
            run_timeout=0.4,
        )
    )
    assert response.status == "Failed"
    assert response.judge is not None and response.judge.status == "TimeLimitExceeded"


async def test_neither_sees_the_others_files_processes_or_memory(client: SandboxClient) -> None:
    look = (
        "import os, sys, gc\nfound = [n for n in os.listdir('/proc') if n.isdigit()]\n"
        "assert not os.path.exists('hidden.txt')\n"
        "assert set(found) <= {'1', str(os.getpid())}, found\n"
        "assert not any('THE-SEC' + 'RET' in str(o) for o in gc.get_objects() if isinstance(o, (str, bytes, list)))\n"
        "assert sorted(map(int, os.listdir('/proc/self/fd')))[:4] == [0, 1, 2, 3]\n"
        "peer.sendall(b'looked')"
    )
    response = await client.run_pair(
        PairRequest(
            judge=Program(
                code=JUDGE + "x = 'THE-SECRET'\nprint(peer.recv(99))", files={"hidden.txt": "aGk="}
            ),
            candidate=Program(code=JUDGE + look),
        )
    )
    assert response.candidate is not None and response.candidate.stderr == ""
    assert response.judge is not None and response.judge.stdout == "b'looked'\n"


async def test_the_judges_long_report_is_whole(client: SandboxClient) -> None:
    response = await client.run_pair(
        PairRequest(judge=Program(code="print('r' * 7_000_000)"), candidate=Program(code="pass"))
    )
    assert response.judge is not None and len(response.judge.stdout or "") == 7_000_001


async def test_the_judge_has_an_address_layout_of_its_own(client: SandboxClient) -> None:
    where = "peer.sendall(b'%d' % id(type))\n"
    response = await client.run_pair(
        PairRequest(
            judge=Program(code=JUDGE + "print(id(type), peer.recv(99).decode())"),
            candidate=Program(code=JUDGE + where),
        )
    )
    assert response.judge is not None
    mine, theirs = (response.judge.stdout or "").split()
    assert mine != theirs


async def test_a_candidate_that_kills_itself_gets_no_second_run(client: SandboxClient) -> None:
    response = await client.run_pair(
        PairRequest(
            judge=Program(code=JUDGE + "print(peer.recv(9), peer.recv(9))"),
            candidate=Program(code=JUDGE + "import os\npeer.sendall(b'once')\nos.kill(os.getpid(), 9)"),
        )
    )
    assert response.judge is not None and response.judge.stdout == "b'once' b''\n"
    assert response.candidate is not None and response.candidate.return_code == -9
