"""The routes of the API: check the body, run it, name the outcome."""

import asyncio
import contextlib
import os
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from verl_coder.sandbox import validate
from verl_coder.sandbox.conversation import Conversation, Exchange, run_cells
from verl_coder.sandbox.executor import Executor, Job
from verl_coder.sandbox.http import Response, json_response
from verl_coder.sandbox.metrics import Metrics
from verl_coder.sandbox.pool import Overloaded, Pool
from verl_coder.sandbox.sessions import EndedSession, Sessions, UnknownSession
from verl_coder.sandbox.slot import OVER_MEMORY, SlotLost

_POD = f"{socket.gethostname()}-{os.getpid()}"
_MAX_OUTPUT_BYTES = 256 << 20
Body = dict[str, Any]


class Api:
    """Answers requests by method and path."""

    def __init__(self, pool: Pool, executor: Executor, sessions: Sessions, metrics: Metrics) -> None:
        self.pool = pool
        self.executor = executor
        self.sessions = sessions
        self.metrics = metrics
        self._posts: dict[str, Callable[[Body], Awaitable[Body]]] = {
            "/run_code": self.run_code,
            "/run_pair": self.run_pair,
            "/run_jupyter": self.run_jupyter,
            "/sessions": self.open_session,
        }

    async def handle(self, method: str, path: str, body: bytes) -> Response:
        """The HTTP handler: every refusal and failure becomes an answer here."""
        if method == "GET":
            return self._get(path)
        if method == "POST" and path.startswith("/owners/"):
            await self.sessions.owners.hold(path[len("/owners/") :])
        label = path
        route = self._posts.get(path)
        if route is None and path.startswith("/sessions/"):
            label, route = self._session_route(method, path[len("/sessions/") :])
            if label == "DELETE":
                label, method = "/sessions/{id}", "POST"
        if route is None:
            return json_response({"detail": "Not Found"}, 404)
        if method != "POST":
            return json_response({"detail": "Method Not Allowed"}, 405)
        return await self._post(label, route, body)

    def _session_route(self, method: str, rest: str) -> tuple[str, Callable[[Body], Awaitable[Body]] | None]:
        """`{id}/run` and `{id}/debug` by POST, `{id}` by DELETE."""
        session_id, _, action = rest.partition("/")
        if method == "DELETE" and not action:
            return "DELETE", lambda body: self.close_session(session_id)
        if action == "run":
            return "/sessions/{id}/run", lambda body: self.run_in_session(session_id, body)
        if action == "debug":
            return "/sessions/{id}/debug", lambda body: self.debug(session_id, body)
        return "", None

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
            answer = await route(validate.parse_object(body or b"{}"))
            response, outcome = json_response(answer), answer["status"]
            if path == "/sessions":
                response = replace(response, undo=partial(self._forget, answer["session_id"]))
        except validate.InvalidRequest as error:
            response, outcome = json_response(error.body, 422), "invalid"
        except validate.BadBase64 as error:
            response, outcome = json_response(_sandbox_error(str(error))), "SandboxError"
        except Overloaded as error:
            detail = {"detail": f"overloaded: {error}"}
            response, outcome = json_response(detail, 429, retry_after_s=1), "overloaded"
        except UnknownSession as error:
            response, outcome = json_response({"detail": str(error)}, 404), "unknown_session"
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
            memory_mb=validate.memory_mb(body),
            stdin=validate.text(body, "stdin", None),
            fetch=validate.paths(body, "fetch_files"),
            files=validate.files(body),
            output_limit=min(validate.whole(body, "output_limit_bytes", -1), _MAX_OUTPUT_BYTES),
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
        memory_mb = validate.memory_mb(body)
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
                    judges=name == "judge",
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

    async def run_jupyter(self, body: Body) -> Body:
        """POST /run_jupyter: cells that share their state; an exception does not stop the later ones."""
        cells = validate.strings(body, "cells")
        cell_timeout_s = validate.seconds(body, "cell_timeout", 0.0, zero=True)
        total_timeout_s = validate.seconds(body, "total_timeout", 45.0)
        kernel = body.get("kernel", "python3")
        if kernel not in ("python3", "python"):
            raise validate.InvalidRequest("kernel", "must be python3", kernel)
        wanted, files = validate.paths(body, "fetch_files"), validate.files(body)
        memory_mb = self._memory_mb(body)
        slots = await self.pool.acquire(["full"])
        slot = slots[0]
        try:
            if wanted:
                slot.order(b"H")
            conversation = Conversation(slot, output_cap=self.executor.output_cap)
            spec = self.sessions.spec(slot, kind="python", code="", files=files, memory_mb=memory_mb)
            started = time.monotonic()
            conversation.begin(spec, self.executor.null, memory_bytes=memory_mb << 20)
            try:
                results, outcome = await run_cells(
                    conversation, cells, cell_timeout_s=cell_timeout_s, total_timeout_s=total_timeout_s
                )
            finally:
                ended = await conversation.finish()
            if ended is None:
                raise SlotLost("the kernel's slot died")
            fetched = await self.executor.fetch(slot, wanted) if wanted else {}
        except BaseException:
            slot.stale = True
            raise
        finally:
            self.pool.release(slots)
        return {
            "status": "Success" if outcome == "done" else "Failed",
            "message": f"the kernel has ended: {ended.how}".rstrip(": ") if outcome == "ended" else "",
            "driver": {
                "status": "TimeLimitExceeded" if outcome == "late" else "Finished",
                "execution_time": round(time.monotonic() - started, 6),
                "return_code": {"done": 0, "late": None, "ended": ended.return_code}[outcome],
                "stdout": "",
                "stderr": f"{OVER_MEMORY}\n" if ended.out_of_memory else "",
            },
            "cells": results,
            "executor_pod_name": _POD,
            "files": fetched,
        }

    def _memory_mb(self, body: Body) -> int:
        memory_mb = validate.memory_mb(body)
        return memory_mb if memory_mb > 0 else self.pool.settings.memory_mb

    async def open_session(self, body: Body) -> Body:
        """POST /sessions: a persistent interpreter, or a debugger that holds a program before its first line."""
        kind = body.get("kind", "python")
        if kind not in ("python", "debugger"):
            raise validate.InvalidRequest("kind", "must be python or debugger", kind)
        session = await self.sessions.open(
            kind=kind,
            code=validate.text(body, "code") if kind == "debugger" else "",
            files=validate.files(body),
            memory_mb=self._memory_mb(body),
            idle_timeout_s=validate.seconds(body, "idle_timeout", 600.0),
            owner=validate.text(body, "owner", ""),
        )
        return {"status": "Success", "message": "", "session_id": session.session_id, "kind": kind}

    async def _forget(self, session_id: str) -> None:
        """Close a session of which nobody was told."""
        with contextlib.suppress(UnknownSession):
            await self.sessions.close(session_id)

    async def run_in_session(self, session_id: str, body: Body) -> Body:
        """POST /sessions/{id}/run: one piece of code; over its time it is interrupted and the session lives on."""
        code = validate.text(body, "code")
        timeout_s = validate.seconds(body, "run_timeout", 10.0)
        exchange = await self._say(session_id, "python", {"code": code}, timeout_s)
        failed = exchange.timed_out or not exchange.alive or "error" in exchange.reply
        answer = await self._exchange_body(session_id, exchange, body)
        answer["status"] = "Failed" if failed else "Success"
        answer["run_result"]["return_code"] = None if exchange.timed_out else int(failed)
        answer |= {key: exchange.reply.get(key) for key in ("result", "error", "display")}
        return answer

    async def debug(self, session_id: str, body: Body) -> Body:
        """POST /sessions/{id}/debug: one command of the debugger, the state after it."""
        command = {
            "command": validate.text(body, "command"),
            "code": validate.text(body, "code", None),
            "line": validate.whole(body, "line", 0) or None,
            "function": validate.text(body, "function", None),
            "condition": validate.text(body, "condition", None),
            "expression": validate.text(body, "expression", None),
        }
        timeout_s = validate.seconds(body, "run_timeout", 10.0)
        exchange = await self._say(session_id, "debugger", command, timeout_s)
        answer = await self._exchange_body(session_id, exchange, body)
        answer["status"] = "Success" if exchange.alive and "command_error" not in exchange.reply else "Failed"
        answer["message"] = str(exchange.reply.get("command_error") or answer["message"])
        told = ("state", "value", "error", "dropped_breakpoints", "note")
        answer |= {key: exchange.reply.get(key) for key in told}
        return answer

    async def _say(self, session_id: str, kind: str, command: Body, timeout_s: float) -> Exchange:
        """One command; of a session that its program ended before, nothing but that."""
        try:
            session = self.sessions.get(session_id, kind)
        except EndedSession:
            # How it ended, `Sessions.bury` says.
            return Exchange(reply={}, stdout="", stderr="", wall_s=0.0, timed_out=False, alive=False)
        return await session.conversation.say(command, timeout_s=timeout_s)

    async def _exchange_body(self, session_id: str, exchange: Exchange, body: Body) -> Body:
        memory_mb, message = None, ""
        if not exchange.alive:
            how = await self.sessions.bury(session_id, timed_out=exchange.timed_out)
            message = "the session has ended" + (f": {how}" if how else "")
        elif body.get("report_memory"):
            memory_mb = await self.sessions.memory_mb(session_id)
        return {
            "status": "Success",
            "message": message,
            "run_result": {
                "status": "TimeLimitExceeded" if exchange.timed_out else "Finished",
                "execution_time": round(exchange.wall_s, 6),
                "return_code": 0,
                "stdout": exchange.stdout,
                "stderr": exchange.stderr,
            },
            "alive": exchange.alive,
            "memory_mb": memory_mb,
        }

    async def close_session(self, session_id: str) -> Body:
        """DELETE /sessions/{id}."""
        await self.sessions.close(session_id)
        return {"status": "Success", "message": ""}


def _sandbox_error(message: str) -> Body:
    return {
        "status": "SandboxError",
        "message": message,
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": _POD,
        "files": {},
    }
