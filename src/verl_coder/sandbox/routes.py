"""The routes of the API: check the body, run it, name the outcome."""

import asyncio
import os
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from verl_coder.sandbox import validate
from verl_coder.sandbox.executor import Executor, Job
from verl_coder.sandbox.http import Response, json_response
from verl_coder.sandbox.metrics import Metrics
from verl_coder.sandbox.pool import Overloaded, Pool
from verl_coder.sandbox.slot import SlotLost

_POD = f"{socket.gethostname()}-{os.getpid()}"
Body = dict[str, Any]


class Api:
    """Answers requests by method and path."""

    def __init__(self, pool: Pool, executor: Executor, metrics: Metrics) -> None:
        self.pool = pool
        self.executor = executor
        self.metrics = metrics
        self._posts: dict[str, Callable[[Body], Awaitable[Body]]] = {
            "/run_code": self.run_code,
            "/run_pair": self.run_pair,
        }

    async def handle(self, method: str, path: str, body: bytes) -> Response:
        """The HTTP handler: every refusal and failure becomes an answer here."""
        if method == "GET":
            return self._get(path)
        route = self._posts.get(path)
        if route is None:
            return json_response({"detail": "Not Found"}, 404)
        if method != "POST":
            return json_response({"detail": "Method Not Allowed"}, 405)
        return await self._post(path, route, body)

    def _get(self, path: str) -> Response:
        if path in ("/v1/ping", "/ping"):
            return Response(status=200, body=b'"pong"')
        if path == "/metrics":
            return Response(status=200, body=self.metrics.render(), media_type="text/plain; version=0.0.4")
        if path in self._posts:
            return json_response({"detail": "Method Not Allowed"}, 405)
        return json_response({"detail": "Not Found"}, 404)

    async def _post(self, path: str, route: Callable[[Body], Awaitable[Body]], body: bytes) -> Response:
        started = time.monotonic()
        try:
            answer = await route(validate.parse_object(body))
            response, outcome = json_response(answer), answer["status"]
        except validate.InvalidRequest as error:
            response, outcome = json_response(error.body, 422), "invalid"
        except validate.BadBase64 as error:
            response, outcome = json_response(_sandbox_error(str(error))), "SandboxError"
        except Overloaded as error:
            detail = {"detail": f"overloaded: {error}"}
            response, outcome = json_response(detail, 429, retry_after_s=1), "overloaded"
        except SlotLost as error:
            response, outcome = json_response(_sandbox_error(str(error))), "SandboxError"
        except asyncio.CancelledError:
            raise
        except Exception as error:
            traceback.print_exc()
            response, outcome = json_response({"detail": f"{type(error).__name__}: {error}"}, 500), "error"
        self.metrics.observe(path, outcome, time.monotonic() - started)
        return response

    async def run_code(self, body: Body) -> Body:
        """POST /run_code."""
        code = validate.text(body, "code")
        language = validate.language(body)
        validate.seconds(body, "compile_timeout", 10.0)
        job = Job(
            operation=language,
            code=code,
            timeout_s=validate.seconds(body, "run_timeout", 10.0),
            memory_mb=validate.whole(body, "memory_limit_MB", -1),
            stdin=validate.text(body, "stdin", None),
            fetch=validate.paths(body, "fetch_files"),
            files=validate.files(body),
        )
        outcome = await self.executor.run(job)
        return {
            "status": "Success" if outcome.succeeded else "Failed",
            "message": "",
            "compile_result": None,
            "run_result": outcome.command,
            "executor_pod_name": _POD,
            "files": outcome.files,
        }

    async def run_pair(self, body: Body) -> Body:
        """POST /run_pair: two programs joined by a socket; the judge's end ends both."""
        timeout_s = validate.seconds(body, "run_timeout", 10.0)
        memory_mb = validate.whole(body, "memory_limit_MB", -1)
        jobs = []
        for name, cap in (("judge", self.executor.judge_cap), ("candidate", self.executor.output_cap)):
            part = body.get(name)
            if not isinstance(part, dict):
                raise validate.InvalidRequest(name, "must be an object with code and files", part)
            jobs.append(
                Job(
                    operation="python",
                    code=validate.text(part, "code", where=f"{name}."),
                    files=validate.files(part, where=f"{name}."),
                    timeout_s=timeout_s,
                    memory_mb=memory_mb,
                    output_cap=cap,
                )
            )
        judge, candidate = await self.executor.run_pair(*jobs)
        return {
            "status": "Success" if judge.succeeded else "Failed",
            "message": "",
            "judge": judge.command,
            "candidate": candidate.command,
            "executor_pod_name": _POD,
        }


def _sandbox_error(message: str) -> Body:
    return {
        "status": "SandboxError",
        "message": message,
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": _POD,
        "files": {},
    }
