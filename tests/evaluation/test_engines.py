"""A model behind an OpenAI-compatible server, which a small server on loopback plays."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from evaluation.conftest import RIGHT, TINY
from rich.console import Console

from verl_coder.errors import ConfigError
from verl_coder.evaluation.engines import served_model
from verl_coder.evaluation.evaluate import evaluate
from verl_coder.evaluation.request import EvaluationPlan, EvaluationRequest, plan_evaluation


class Server(ThreadingHTTPServer):
    """Completions with or without token ids; the first `failing` requests get a 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.names = ["tiny"]
        self.failing = 0
        self.bodies: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [{"id": name} for name in self.server.names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        if self.server.failing:
            self.server.failing -= 1
            self._answer(503, {"error": "busy"})
            return
        choice = {"index": 0, "text": RIGHT, "finish_reason": "stop", "logprobs": None}
        self._answer(
            200, {"id": "1", "object": "text_completion", "created": 0, "model": "tiny", "choices": [choice]}
        )

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_endpoint_is_evaluated_like_a_folder(
    server: Server, problems: Path, tmp_path: Path, sandbox_url: str
) -> None:
    server.failing = 2
    plan = plan_evaluation(
        EvaluationRequest(
            model=server.url,
            tokenizer=str(TINY),
            data=(str(problems),),
            out=str(tmp_path / "out"),
            seed=3,
            n=2,
        )
    )
    results = evaluate(plan, Console(quiet=True), concurrency=2, sandbox_url=sandbox_url)
    assert results["pass_at_k"]["1"] == 1.0 and results["finish_reasons"] == {"stop": 8}
    assert all(isinstance(body["prompt"][0], int) and body["model"] == "tiny" for body in server.bodies)
    assert len({body["seed"] for body in server.bodies}) == 8


def test_the_model_of_an_endpoint_is_found_or_must_be_named(server: Server) -> None:
    assert served_model(server.url) == "tiny"
    server.names = ["a", "b"]
    with pytest.raises(ConfigError, match="serves a, b: name one with --served-model"):
        served_model(server.url)
    with pytest.raises(ConfigError, match="no OpenAI-compatible server answers"):
        served_model("http://127.0.0.1:9/v1")


def test_another_model_or_tokenizer_of_one_endpoint_is_another_evaluation(
    problems: Path, tmp_path: Path
) -> None:
    (other := tmp_path / "tokenizer").mkdir()
    (other / "tokenizer.json").write_text("{}")

    def plan(served: str, tokenizer: Path) -> EvaluationPlan:
        request = EvaluationRequest(
            model="http://127.0.0.1:9/v1",
            served_model=served,
            tokenizer=str(tokenizer),
            data=(str(problems),),
        )
        return plan_evaluation(request)

    base, lora, elsewhere = plan("base", TINY), plan("lora", TINY), plan("base", other)
    assert base.settings() != lora.settings() and base.settings() != elsewhere.settings()
    assert base.out != lora.out
