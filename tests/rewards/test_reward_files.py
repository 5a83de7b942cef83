"""Every file in rewards/ keeps the contract, against the real sandbox and without one."""

import asyncio
import importlib.util
import inspect
import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.reward import get_custom_reward_fn

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.reward import REQUIRED_KEYS, check_reward_file
from verl_coder.sandbox.embedded import EmbeddedSandbox

FOLDER = Path(__file__).parents[2] / "rewards"
FILES = sorted(FOLDER.glob("*.py"))
SUITE = json.dumps(
    {
        "style": "function",
        "entry_point": "add",
        "tests": [{"args": [i, 2], "expected": i + 2} for i in range(4)],
    }
)
RIGHT = "<think>Add them.</think>\n```python\ndef add(a, b):\n    return a + b\n```"
HALF = RIGHT.replace("a + b", "a + b if a < 2 else 0")
WRONG = RIGHT.replace("a + b", "a - b")
CALLED = '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "print(1)"}}\n</tool_call>\n'
RAN = CALLED + "user\n<tool_response>\n1\n</tool_response>\nassistant\n"


@pytest.fixture(scope="module")
def sandbox_url():
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


def load(path):
    spec = importlib.util.spec_from_file_location(f"reward_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


def scores(path, completions, tool_successes=0):
    compute_score = load(path)

    async def one(text):
        info = {"num_turns": 2, "tool_successes": tool_successes, "rollout_reward_scores": {}}
        return await compute_score(
            data_source="sample", solution_str=text, ground_truth=SUITE, extra_info=info
        )

    async def every():
        return await asyncio.gather(*map(one, completions))

    return asyncio.run(every())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_are_constant_and_right_beats_half_beats_wrong(path, sandbox_url, monkeypatch):
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    right, half, wrong, empty, ran = scores(path, [RIGHT, HALF, WRONG, "", RAN + RIGHT])
    assert right.keys() == half.keys() == wrong.keys() == empty.keys() == ran.keys()
    assert set(REQUIRED_KEYS) <= right.keys()
    assert [r["acc"] for r in (right, half, wrong, empty, ran)] == [1, 0, 0, 0, 1]
    assert right["score"] > half["score"] >= wrong["score"] >= empty["score"] == 0
    assert all(type(value) is float for result in (right, wrong, empty) for value in result.values())
    assert not right["sandbox_unavailable"]


PROGRAM = "<program>\nprint(1)\n</program>\n<output>\n1\n</output>\n"
FARMED = [
    text
    for answer in (WRONG, HALF, HALF.replace("a < 2", "a < 3"), "<think>x</think>", "", "Done.")
    for text in (
        answer,
        RAN + answer,
        RAN * 9 + answer,
        "<program>\nprint(1)\n</program>\n<output>\n1\n</output>\n" + answer,
    )
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_wrong_answer_earns_what_a_right_one_does_and_no_more_than_the_file_says(
    path, sandbox_url, monkeypatch
):
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    wrong = [result["score"] for result in scores(path, FARMED, tool_successes=20)]
    right = [
        result["score"] for n in (0, 20) for result in scores(path, [RIGHT, RIGHT.split("</think>")[1]], n)
    ]
    words = re.search(
        r"A wrong answer earns (at most|less than) ([0-9.]+)?.*, a right one\s+at least ([0-9.]+)",
        load(path).__globals__["__doc__"],
        re.S,
    )
    assert words, "the file does not say what a wrong answer can earn"
    bound = float((words[2] or "1").rstrip("."))
    assert max(wrong) <= bound + 1e-9 and max(wrong) < min(right)
    assert min(right) >= float(words[3].rstrip(".")) - 1e-9
    assert not any(
        scores(path, ["", "<think>x</think>", RAN + "Done."], tool_successes=20)[n]["score"] for n in range(3)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dead_sandbox_is_reported_and_earns_nothing(path, monkeypatch):
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("verl_coder.rewards.shared_client", lambda urls: _Dead())
    (result,) = scores(path, [RIGHT], tool_successes=2)
    assert (result["sandbox_unavailable"], result["score"], result["acc"]) == (1.0, 0.0, 0.0)


class _Dead:
    async def supports_pairs(self):
        from verl_coder.errors import SandboxUnavailableError

        raise SandboxUnavailableError("no answer")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_passes_its_own_check_and_is_async(path):
    check_reward_file(path)
    assert inspect.iscoroutinefunction(load(path))


def test_every_file_stands_in_the_readme_and_the_example_works(tmp_path):
    text = (FOLDER / "README.md").read_text()
    assert [path.name for path in FILES if f"`{path.name}`" not in text] == []
    example = text.split("## Copy me")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "mine.py").write_text(example)
    check_reward_file(tmp_path / "mine.py")


def test_tool_calls_pay_nothing_beside_a_wrong_answer_and_are_capped(sandbox_url, monkeypatch):
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    path = FOLDER / "with_tool_use.py"
    (wrong,) = scores(path, [WRONG], tool_successes=50)
    (once,), (twice,), (often,) = (scores(path, [RIGHT], tool_successes=n) for n in (1, 2, 50))
    assert wrong["score"] == 0
    assert 1 < once["score"] < twice["score"] == often["score"]


def test_written_tool_calls_earn_nothing_unless_the_tool_counted_them(sandbox_url, monkeypatch):
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    for name in ("with_tool_use.py", "program_tag.py"):
        plain, talk = scores(FOLDER / name, [RIGHT, RAN * 3 + RIGHT])
        assert plain["score"] == talk["score"]


@pytest.mark.parametrize(
    ("file", "parameters", "half"),
    [
        ("scaled", {}, 0.125),
        ("scaled", {"exponent": 1, "all_passed": 0}, 0.5),
        ("concise", {"characters": 10}, 0),
    ],
)
def test_verl_hands_on_the_parameters_of_the_run(file, parameters, half, sandbox_url, monkeypatch):
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    reward = {"path": str(FOLDER / f"{file}.py"), "name": "compute_score", "reward_kwargs": parameters}
    function = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": reward}}))

    async def score(text):
        return await function(data_source="s", solution_str=text, ground_truth=SUITE, extra_info={})

    assert asyncio.run(score(HALF))["score"] == pytest.approx(half)
    if file == "concise":
        assert asyncio.run(score(RIGHT))["score"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        ("scaled", {"exponent": 0}),
        ("scaled", {"exponent": -1}),
        ("scaled", {"all_passed": 1.5}),
        ("concise", {"characters": 0}),
    ],
)
def test_a_parameter_that_would_pay_a_wrong_answer_is_refused(file, parameters):
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        check_reward_file(FOLDER / f"{file}.py", parameters=parameters)
