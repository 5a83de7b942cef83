"""The cells of /run_jupyter: they share their state, and it is told how they came to an end."""

import httpx
import pytest


async def test_jupyter_cells_share_state_and_go_on_after_an_exception(http: httpx.AsyncClient) -> None:
    body = {
        "cells": ["x = 1\nprint('a')", "1 / 0", "x + 1", "open('f', 'w').write('hi')"],
        "fetch_files": ["f"],
    }
    answer = (await http.post("/run_jupyter", json=body)).json()
    assert answer["status"] == "Success" and answer["driver"]["status"] == "Finished"
    assert answer["cells"][0]["stdout"] == "a\n"
    assert answer["cells"][1]["error"][0]["ename"] == "ZeroDivisionError"
    assert answer["cells"][2]["display"] == [{"text/plain": "2"}]
    assert answer["files"] == {"f": "aGk="}


async def test_a_jupyter_time_out_keeps_the_cells_before(http: httpx.AsyncClient) -> None:
    body = {"cells": ["print('kept')", "while True: pass", "print('never')"], "total_timeout": 0.6}
    answer = (await http.post("/run_jupyter", json=body)).json()
    assert answer["status"] == "Failed" and answer["driver"]["status"] == "TimeLimitExceeded"
    assert answer["cells"][0]["stdout"] == "kept\n" and len(answer["cells"]) == 2


@pytest.mark.parametrize(
    ("cell", "return_code", "words"),
    [
        ("import os; os._exit(3)", 3, "it left with exit code 3"),
        ("import os; os._exit(0)", 0, "it left with exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", -11, "it was ended by SIGSEGV"),
    ],
)
async def test_a_kernel_that_ends_itself_is_not_out_of_time(
    http: httpx.AsyncClient, cell: str, return_code: int, words: str
) -> None:
    body = {"cells": ["print('kept')", cell, "print('never')"]}
    answer = (await http.post("/run_jupyter", json=body)).json()
    assert (answer["status"], answer["message"]) == ("Failed", f"the kernel has ended: {words}")
    assert (answer["driver"]["status"], answer["driver"]["return_code"]) == ("Finished", return_code)
    assert answer["cells"][0]["stdout"] == "kept\n" and len(answer["cells"]) == 2
