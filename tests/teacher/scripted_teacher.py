"""Stands in for a language model behind an OpenAI-compatible server: scripted answers, latency, slots, faults.

As a process: python tests/teacher/scripted_teacher.py --latency 0.5 --slots 32 --faults 0.2; it prints its address.
With --traces FILE it says what the assistant of that Parquet file of traces says, problem by problem, turn by turn.
`GET /stats` tells what it has served.
"""

import argparse
import asyncio
import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

MODEL = "scripted"
FAULTS = ("retry_after", "429", "500", "cut", "cut_body", "torn", "no_choices", "null")
Answer = Callable[[dict[str, Any], int], dict[str, Any]]
"""(request body, how many requests of this very body came before) -> message, or a whole choice with `message`."""


def addition(body: dict[str, Any], asked: int) -> dict[str, Any]:
    """Answers `Write a function add_N that adds N`: right three times of four, in one of two forms."""
    text = next(m["content"] for m in body["messages"] if m["role"] == "user")
    found = re.search(r"add_(\d+)", text)
    number = int(found.group(1)) if found else 0
    draw = int.from_bytes(hashlib.sha256(f"{number}/{asked}".encode()).digest()[:2], "big")
    value = number if draw % 4 else number + 1
    body_text = f"return x + {value}" if draw & 8 else f"total = x + {value}\n    return total"
    return {
        "content": f"```python\ndef add_{number}(x):\n    {body_text}\n```",
        "reasoning": f"I add {value}. ({draw})",
    }


def from_traces(path: str) -> Answer:
    """Answers as the assistant of a Parquet file of traces does, by the question and the number of the turn."""
    import pyarrow.parquet as pq

    turns: dict[str, list[str]] = {}
    for messages in pq.read_table(path, columns=["messages"])["messages"].to_pylist():
        question = next(m["content"] for m in messages if m["role"] == "user")
        turns[question] = [m["content"] for m in messages if m["role"] == "assistant"]

    def answer(body: dict[str, Any], asked: int) -> dict[str, Any]:
        question = next(m["content"] for m in body["messages"] if m["role"] == "user")
        said = sum(m["role"] == "assistant" for m in body["messages"])
        known = turns.get(question, [])[said:]
        return {"content": known[0] if known else "I do not know."}

    return answer


class ScriptedTeacher:
    """The server; everything it counts is of whole answers, unless it says otherwise."""

    def __init__(
        self,
        answer: Answer = addition,
        *,
        latency_s: float = 0.0,
        slots: int = 10_000,
        fault_share: float = 0.0,
        faults: Sequence[str] = FAULTS,
        seed: int = 0,
        models: Sequence[str] | None = (MODEL,),
        key: str = "",
    ) -> None:
        self.answer, self.latency_s, self.fault_share, self.faults = answer, latency_s, fault_share, faults
        self.models, self.key = models, key
        self.requests: list[dict[str, Any]] = []
        self.keep_requests = True
        self.served: Counter[str] = Counter()
        """Whole answers by the hash of the request."""
        self.asked: Counter[str] = Counter()
        self.sent_faults: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.first = self.last = 0.0
        self.url = ""
        self._random = random.Random(seed)
        self._slots = slots
        self._free: asyncio.Semaphore | None = None

    def stats(self) -> dict[str, Any]:
        """What was served."""
        return {
            "served": sum(self.served.values()),
            "distinct": len(self.served),
            "requests": sum(self.asked.values()),
            "faults": dict(self.sent_faults),
            "most_in_flight": self.most_in_flight,
            "seconds": self.last - self.first,
        }

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listen on loopback."""
        self._free = asyncio.Semaphore(self._slots)
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
                }
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                reply = await self._reply(method, path, headers, content)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
                if reply.endswith(b"..."):  # a body that ends before its length
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, method: str, path: str, headers: dict[str, str], content: bytes) -> bytes | None:
        if path == "/stats":
            return _response(200, self.stats())
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return _response(401, {"error": {"message": "Incorrect API key provided"}})
        if path == "/v1/models":
            if self.models is None:
                return _response(404, {"detail": "Not Found"})
            return _response(200, {"object": "list", "data": [{"id": name} for name in self.models]})
        assert (method, path) == ("POST", "/v1/chat/completions"), (method, path)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.first = self.first or time.perf_counter()
        try:
            return await self._completion(json.loads(content), content)
        finally:
            self.in_flight -= 1
            self.last = time.perf_counter()

    async def _completion(self, body: dict[str, Any], content: bytes) -> bytes | None:
        name = hashlib.sha256(content).hexdigest()
        fault = self._random.choice(self.faults) if self._random.random() < self.fault_share else ""
        assert self._free is not None
        async with self._free:
            await asyncio.sleep(self.latency_s)
        self.asked[name] += 1
        if fault:
            self.sent_faults[fault] += 1
            return _fault(fault)
        if self.keep_requests:
            self.requests.append(body)
        message = self.answer(body, self.served[name])
        self.served[name] += 1
        choice = message if "message" in message else {"finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": len(content) // 4, "completion_tokens": len(json.dumps(choice)) // 4}
        return _response(200, {"model": body["model"], "choices": [{"index": 0, **choice}], "usage": usage})


def _fault(kind: str) -> bytes | None:
    whole = {"choices": [{"message": {"content": "half of an answer"}, "finish_reason": "stop"}]}
    replies: dict[str, bytes | None] = {
        "retry_after": _response(429, {"error": {"message": "slow down"}}, "retry-after: 1\r\n"),
        "429": _response(429, {"error": {"message": "slow down"}}),
        "500": _response(500, {"error": "an internal error"}),
        "cut": None,
        "cut_body": b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{...",
        "torn": _response(200, None, text=json.dumps(whole)[:40]),
        "no_choices": _response(200, {"choices": []}),
        "null": _response(200, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}),
    }
    return replies[kind]


def _response(status: int, body: Any, headers: str = "", *, text: str | None = None) -> bytes:
    content = (json.dumps(body) if text is None else text).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(content)}\r\n\r\n"
    return head.encode() + content


@contextmanager
def serving(teacher: ScriptedTeacher) -> Iterator[ScriptedTeacher]:
    """The server in a thread of its own."""
    ready = threading.Event()
    ends: list[Callable[[], object]] = []

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        await teacher.serve()
        ready.set()
        await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield teacher
    finally:
        ends[0]()
        thread.join(5)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=10_000)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--traces", help="Parquet file whose assistant it is")
    options = parser.parse_args()

    async def run() -> None:
        teacher = ScriptedTeacher(
            from_traces(options.traces) if options.traces else addition,
            latency_s=options.latency,
            slots=options.slots,
            fault_share=options.faults,
        )
        teacher.keep_requests = False
        async with await teacher.serve(options.port) as server:
            print(teacher.url, flush=True)
            await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
