"""A model behind an OpenAI-compatible server, which a small server on loopback plays."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from evaluation.conftest import RIGHT, TINY, make_problem
from rich.console import Console

from verl_coder.data import write_rows
from verl_coder.errors import ConfigError, EngineError
from verl_coder.evaluation.engines import served_model
from verl_coder.evaluation.evaluate import evaluate
from verl_coder.evaluation.request import EvaluationPlan, EvaluationRequest, plan_evaluation
from verl_coder.evaluation.samples import read_samples
from verl_coder.prompts import build_prompt


def completion(text: Any, finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}
    whole = {"id": "1", "object": "text_completion", "created": 0, "model": "tiny", "choices": [choice]}
    return whole | more


class Server(ThreadingHTTPServer):
    """Completions without token ids; the first `failing` requests get a 503, `answers` are sent before RIGHT."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.names = ["tiny"]
        self.failing = 0
        self.answers: list[Any] = []
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
        self._answer(200, self.server.answers.pop(0) if self.server.answers else completion(RIGHT))

    def _answer(self, status: int, value: dict[str, Any] | bytes) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if data[:1] == b"<" else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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
    # A server would fill in what the model's generation_config.json says.
    said = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "temperature": 1.0}
    assert all(said.items() <= body.items() for body in server.bodies)


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(
    server: Server, problems: Path, tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """An evaluation of the server, one request at a time."""
    monkeypatch.setattr("verl_coder.evaluation.session._PAUSE_S", 0.01)

    def run(**options: Any) -> dict[str, Any]:
        values = {"model": server.url, "tokenizer": str(TINY), "data": (str(problems),), "tools": "none"}
        values |= {"out": str(tmp_path / "out"), "max_prompt_tokens": 700, "max_response_tokens": 300}
        plan = plan_evaluation(EvaluationRequest(**(values | options)))
        return evaluate(plan, Console(quiet=True), concurrency=1, sandbox_url=sandbox_url)

    return run


NO_ANSWERS = {
    "aborted": completion("```python\ndef f(xs):\n    retu", "abort"),
    "failed": completion("", "error"),
    "filtered": completion("I cannot", "content_filter"),
    "without choices": completion("", choices=[]),
    "choices that are none": completion("", choices="none"),
    "an error with status 200": {"error": {"message": "overloaded"}},
    "without text": completion(None),
    "a page": b"<html>a proxy says hello</html>",
    "torn JSON": b'{"id": "1", "choices": [',
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_asked_again(server: Server, run: Run, answer: Any) -> None:
    server.answers = [answer]
    results = run()
    assert results["pass_at_k"]["1"] == 1.0 and results["finish_reasons"] == {"stop": 4}
    assert len(server.bodies) == 5


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_sample_that_gets_no_answer_is_owed_and_the_others_are_kept(
    server: Server, run: Run, answer: Any, tmp_path: Path
) -> None:
    server.answers = [answer] * 3
    with pytest.raises(
        EngineError, match=r"1 samples have no answer after 3 tries each, .*sample/\d"
    ) as error:
        run()
    assert "\n" not in str(error.value)
    assert (tmp_path / "out/samples.jsonl").read_bytes().count(b"\n") == 3
    assert not (tmp_path / "out/evaluation_results.json").exists()
    assert run()["pass_at_k"]["1"] == 1.0 and len(server.bodies) == 7


def test_a_server_that_answers_nothing_is_given_up(server: Server, run: Run) -> None:
    server.answers = [completion("", "error")] * 100
    with pytest.raises(EngineError, match="20 samples have no answer"):
        run(n=8)
    assert len(server.bodies) == 60


@pytest.mark.parametrize("end", ["</program>", "</program> and more", ""])
def test_a_program_runs_whether_or_not_the_server_sends_the_stop_string(
    server: Server, run: Run, problems: Path, end: str
) -> None:
    prompt = build_prompt("Write f(xs): the sum.", style="function", protocol="none")
    write_rows([make_problem(0, prompt=prompt, agent_name="single_turn_agent")], problems)
    server.answers = [completion(f"I look.\n<program>\nprint(6 * 7)\n{end}")]
    results = run(tools=None, protocol="program")
    assert results["pass_at_k"]["1"] == 1.0 and results["tools"]["calls"] == {1: 1}
    (sample,) = read_samples(Path(results["settings"]["data"][0]).parents[1] / "out/samples.parquet")
    assert "<output>\n42\n</output>" in sample.output


def test_a_program_that_the_model_left_open_is_not_run_where_the_server_says_that_it_ended(
    server: Server, run: Run, problems: Path
) -> None:
    prompt = build_prompt("Write f(xs): the sum.", style="function", protocol="none")
    write_rows([make_problem(0, prompt=prompt, agent_name="single_turn_agent")], problems)
    left_open = completion("I look.\n<program>\nprint(6 * 7)\n")
    left_open["choices"][0]["stop_reason"] = None  # as vLLM says of the end of a turn
    server.answers = [left_open]
    results = run(tools=None, protocol="program")
    assert len(server.bodies) == 1 and results["pass_at_k"]["1"] == 0.0
    assert results["finish_reasons"] == {"stop": 1}


def test_an_answer_whose_fence_the_server_leaves_out_is_graded(
    server: Server, run: Run, problems: Path
) -> None:
    row = make_problem(
        0, data_source="humaneval", starter_code="def f(xs):\n", agent_name="single_turn_agent"
    )
    write_rows([row], problems)
    server.answers = [completion("def f(xs):\n    return sum(xs)")]
    assert run(tools=None, protocol="evalplus")["pass_at_k"]["1"] == 1.0


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
