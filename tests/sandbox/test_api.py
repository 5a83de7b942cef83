"""Refusals, overload, metrics, headers."""

import asyncio
import json
import subprocess
import sys

import httpx
import pytest
from typer.testing import CliRunner

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.cli import app
from verl_coder.sandbox.embedded import EmbeddedSandbox

GOOD = {"code": "print(1)", "language": "python"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"language": "klingon"}, "language"),
        ({"language": None}, "language"),
        ({"code": 5}, "code"),
        ({"run_timeout": "soon"}, "run_timeout"),
        ({"run_timeout": -1}, "run_timeout"),
        ({"run_timeout": 7200}, "run_timeout"),
        ({"run_timeout": 10**400}, "run_timeout"),
        ({"memory_limit_MB": 1.5}, "memory_limit_MB"),
        ({"memory_limit_MB": 10**13}, "memory_limit_MB"),
        ({"stdin": 3}, "stdin"),
        ({"files": {"/etc/x": "aA=="}}, "files"),
        ({"files": {"a/../../x": "aA=="}}, "files"),
        ({"fetch_files": ["../x"]}, "fetch_files"),
        ({"fetch_files": "x"}, "fetch_files"),
    ],
)
async def test_a_bad_field_is_422_with_its_name(http: httpx.AsyncClient, change: dict, field: str) -> None:
    response = await http.post("/run_code", json={**GOOD, **change})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", field]


@pytest.mark.parametrize(
    ("path", "body", "location"),
    [
        ("/run_pair", {"judge": {"code": "1"}}, ["candidate"]),
        ("/run_pair", {"judge": {"code": 1}, "candidate": {"code": "1"}}, ["judge", "code"]),
        (
            "/run_pair",
            {"judge": {"code": "1", "files": {"../x": "aA=="}}, "candidate": {}},
            ["judge", "files"],
        ),
        ("/run_jupyter", {"cells": "1"}, ["cells"]),
        ("/run_jupyter", {"cells": ["1"], "total_timeout": None}, ["total_timeout"]),
        ("/run_jupyter", {"cells": ["1"], "kernel": "julia"}, ["kernel"]),
        ("/run_jupyter", {"cells": ["1"], "fetch_files": ["/etc/passwd"]}, ["fetch_files"]),
        ("/sessions", {"kind": "shell"}, ["kind"]),
        ("/sessions", {"kind": "debugger"}, ["code"]),
        ("/sessions", {"memory_limit_MB": 10**13}, ["memory_limit_MB"]),
        ("/sessions", {"idle_timeout": 7200}, ["idle_timeout"]),
        ("/sessions", {"files": {"/x": "aA=="}}, ["files"]),
    ],
)
async def test_other_routes_name_the_bad_field_too(
    http: httpx.AsyncClient, path: str, body: dict, location: list[str]
) -> None:
    response = await http.post(path, json=body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", *location]


@pytest.mark.parametrize("path", ["/etc/x", "..", "a/../../x", "./../x", "a/..", "a\0b", "", "x/", "\ud800"])
@pytest.mark.parametrize("field", ["files", "fetch_files"])
async def test_a_path_out_of_the_working_folder_is_422(
    http: httpx.AsyncClient, path: str, field: str
) -> None:
    value = {path: "aA=="} if field == "files" else [path]
    response = await http.post("/run_code", content=json.dumps({**GOOD, field: value}))
    assert response.status_code == 422 and response.json()["detail"][0]["loc"] == ["body", field]


async def test_a_missing_field_is_422_with_its_name(http: httpx.AsyncClient) -> None:
    response = await http.post("/run_code", json={"language": "python"})
    assert response.status_code == 422 and response.json()["detail"][0]["loc"] == ["body", "code"]


async def test_what_is_not_json_is_422(http: httpx.AsyncClient) -> None:
    assert (await http.post("/run_code", content=b"{nope")).status_code == 422


async def test_unknown_fields_are_ignored(http: httpx.AsyncClient) -> None:
    assert (await http.post("/run_code", json={**GOOD, "dataset": 1})).json()["status"] == "Success"


async def test_bad_base64_is_a_sandbox_error(http: httpx.AsyncClient) -> None:
    response = await http.post("/run_code", json={**GOOD, "files": {"a": "?"}})
    assert response.status_code == 200 and response.json()["status"] == "SandboxError"


async def test_a_symlink_out_is_not_fetched(http: httpx.AsyncClient) -> None:
    code = "import os\nos.symlink('/etc/passwd', 'link')\nos.symlink('/etc', 'folder')"
    body = {**GOOD, "code": code, "fetch_files": ["link", "folder/passwd"]}
    assert (await http.post("/run_code", json=body)).json()["files"] == {}


async def test_unknown_routes_are_404_and_wrong_methods_405(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nope")).status_code == 404
    assert (await http.get("/run_pair")).status_code == 405


async def test_every_answer_names_the_isolation(any_server: EmbeddedSandbox) -> None:
    async with httpx.AsyncClient(base_url=any_server.url, trust_env=False) as http:
        header = (await http.get("/v1/ping")).headers["x-sandbox-isolation"]
    assert header.split(";")[0] in ("namespaces", "light", "none")
    assert ("unsafe" in header) == header.startswith("none")


async def test_metrics_count_the_requests(http: httpx.AsyncClient) -> None:
    await http.post("/run_code", json=GOOD)
    text = (await http.get("/metrics")).text
    assert 'sandbox_requests_total{outcome="Success",route="/run_code"}' in text
    assert "sandbox_queued" in text and "sandbox_running" in text


def test_no_protection_is_refused_without_unsafe() -> None:
    with pytest.raises(SandboxUnavailableError, match="--unsafe"):
        EmbeddedSandbox(isolation="none").__enter__()


def test_an_address_that_is_not_of_this_machine_is_told_so_and_a_taken_port_otherwise() -> None:
    with EmbeddedSandbox(extra=["--workers", "2"]) as sandbox:
        taken = sandbox.url.rpartition(":")[2]
        for extra, cure in (
            (["--host", "192.0.2.1"], "choose another --host"),
            (["--port", taken], "another --port"),
        ):
            command = [sys.executable, "-m", "verl_coder.cli", "sandbox", "serve", "--port", "0", *extra]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 1 and cure in done.stderr and len(done.stderr.splitlines()) == 1


async def test_overload_is_429_at_once_and_a_burst_below_it_queues() -> None:
    with EmbeddedSandbox(extra=["--workers", "2", "--max-queue", "4"]) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url, timeout=30, trust_env=False) as http:
            body = {**GOOD, "code": "import time; time.sleep(0.5)"}
            answers = await asyncio.gather(*(http.post("/run_code", json=body) for _ in range(12)))
            codes = sorted(answer.status_code for answer in answers)
            assert codes == [200] * 6 + [429] * 6
            assert (await http.get("/v1/ping")).json() == "pong"
        async with SandboxClient(sandbox.url, max_attempts=8) as client:
            responses = await asyncio.gather(
                *(client.run_code(RunRequest(code="print(1)")) for _ in range(16))
            )
            assert {response.status for response in responses} == {"Success"}


@pytest.mark.parametrize(
    "option",
    ["--workers=-3", "--memory-mb=0", "--output-mb=0", "--tmpfs-mb=0", "--processes=0", "--max-queue=-1"],
)
def test_an_option_that_no_program_could_run_with_is_refused(option: str) -> None:
    answer = CliRunner().invoke(app, ["serve", option])
    assert answer.exit_code == 2 and option.split("=")[0] in answer.output
