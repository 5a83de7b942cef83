"""What is wrong with a request is one line that names the option and the fix, before anything is trained."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from verl_coder.errors import ConfigError, DataError, VerlCoderError
from verl_coder.platform.environment import choose_profile
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import merge, train
from verl_coder.sft.run import run
from verl_coder.sft.settings import (
    SftRequest,
    parse_overrides,
    total_steps,
    trainer_keys,
)
from verl_coder.sft.summary import summary
from verl_coder.tiny.build import BASE

TALK = [{"role": "user", "content": "def f"}, {"role": "assistant", "content": "```python\npass\n```"}]


def _traces(folder: Path, *conversations: list[dict[str, str]]) -> Path:
    path = folder / "traces.parquet"
    rows = [{"problem_id": f"p{i}", "messages": messages} for i, messages in enumerate(conversations)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def _request(folder: Path, **changes: Any) -> SftRequest:
    options = {
        "model": str(BASE),
        "traces": folder / "traces.parquet",
        "out": folder / "out",
        "profile": "cpu",
    }
    return SftRequest(**{**options, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": -1}, "--batch-size is -1"),
        ({"micro_tokens": 0}, "--micro-tokens is 0"),
        ({"val_share": 1.0}, "--val-share is 1.0"),
        ({"profile": "tpu"}, "--profile is 'tpu': use cpu or gpu"),
        ({"overrides": ("optim.lr",)}, "neither an option nor a Hydra override"),
        ({"overrides": ("--lr=1",)}, "neither an option nor a Hydra override"),
        ({"overrides": ("optim.lr=1",)}, "use --learning-rate"),
        ({"overrides": ("optim=megatron",)}, "optim=megatron: use verl's FSDP2"),
        ({"lora_rank": -1}, "--lora-rank is -1"),
        ({"lora_alpha": 8}, "--lora-alpha is 8 and there is no adapter"),
        ({"lora_rank": 4, "lora_alpha": 0}, "--lora-alpha is 0"),
        ({"overrides": ("model.lora_adapter_path=x",)}, "use --model with the adapter merged"),
        ({"overrides": ("engine.strategy=fsdp",)}, "use verl's FSDP2"),
        ({"keep": "all"}, "--keep is 'all': use best or last"),
        ({"seed": -1}, "--seed is -1: use a whole number of 0 or more"),
        ({"cpu_numbers": "fp8"}, "--cpu-numbers is 'fp8': use float32 or bfloat16"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _request(tmp_path, **changes)


def test_a_held_out_problem_that_is_learnt_is_refused(tmp_path: Path) -> None:
    traces = _traces(tmp_path, TALK, TALK, TALK)
    (tmp_path / "other").mkdir()
    held_out = _traces(tmp_path / "other", TALK, TALK)
    request = _request(tmp_path, traces=traces, validation=held_out, batch_size=1)
    with pytest.raises(
        DataError, match="of problems that --traces has, too: 2 of 2 traces, the first in row 0, p0: what"
    ):
        run(request, Console(quiet=True), dry_run=True)


@pytest.mark.parametrize(
    ("conversation", "changes", "message"),
    [
        (TALK, {"model": "./nowhere"}, "no such folder"),
        (TALK, {"model": "tests"}, "config.json is missing"),
        (TALK, {"tools": "tool_config/nowhere.yaml"}, "--tools tool_config/nowhere.yaml: no such file"),
        (TALK, {"batch_size": 32}, "1 trace is left to train on, --batch-size is 32: lower it"),
        (TALK, {"max_response_length": 2}, "no trace fits into .*--max-response-length 2"),
        (
            [TALK[0], {"role": "assistant", "content": "1 2 3 4 " * 160}],
            {},
            r"the longest has \d{4} tokens, and --model .* has 1024 positions .*: use --max-prompt-length and",
        ),
        (
            [*TALK, {"role": "tool", "content": "1"}, TALK[1]],
            {},
            "give .* --tools .*, or --tools none",
        ),
        ([TALK[0], {"role": "assistant", "content": "x<|im_end|>"}], {}, "row 0: the control token"),
        (
            [*TALK, {"role": "tool", "content": "1"}, TALK[1]],
            {"tools": "none"},
            "row 0: a tool answers message 1, in which .* finds no tool call",
        ),
    ],
)
def test_bad_inputs_stop_before_training(
    tmp_path: Path, conversation: list[dict[str, str]], changes: dict[str, Any], message: str
) -> None:
    _traces(tmp_path, conversation)
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        run(_request(tmp_path, **changes), Console(quiet=True))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("problem_id", ["", "named otherwise"])
def test_a_held_out_prompt_that_is_learnt_is_refused_whatever_its_problem_id(
    tmp_path: Path, problem_id: str
) -> None:
    _traces(tmp_path, TALK, TALK)
    held_out = tmp_path / "held_out.parquet"
    rows = [{"problem_id": problem_id, "messages": messages} for messages in (_asks("another"), TALK)]
    pq.write_table(pa.Table.from_pylist(rows), held_out)
    with pytest.raises(
        DataError, match=f"1 of 2 traces, the first in row 1, {problem_id or 'by its prompt'}: "
    ):
        run(_request(tmp_path, validation=held_out, batch_size=1), Console(quiet=True), dry_run=True)


def _told(request: SftRequest) -> str:
    console = Console(file=io.StringIO(), width=1000)
    run(request, console, dry_run=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _asks(question: str, answer: str = "```python\npass\n```") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_held_out_traces_that_are_too_long_are_told(tmp_path: Path) -> None:
    traces = _traces(tmp_path, _asks("one"), _asks("two"), _asks("three", "long " * 90))
    (tmp_path / "other").mkdir()
    conversations = [TALK, _asks("four", "long " * 90), _asks("five", "long " * 90)]
    held_out = tmp_path / "held_out.parquet"
    rows = [{"problem_id": "", "messages": messages} for messages in conversations]
    pq.write_table(pa.Table.from_pylist(rows), held_out)
    request = _request(tmp_path, traces=traces, validation=held_out, batch_size=1, max_response_length=60)
    assert "traces: 3 read, 1 dropped" in (told := _told(request))
    assert "2 to train on, 1 held out (2 of --validation's 3 dropped, too)" in told


def test_that_nothing_is_held_out_is_told_with_what_follows(tmp_path: Path) -> None:
    _traces(tmp_path, *(_asks(f"question {number}") for number in range(8)))
    told = _told(_request(tmp_path, batch_size=1))
    assert "nothing is held out: --val-share 0.05 of 8 traces is less than one: " in told
    assert "OUT/model is of the last step; give --val-share 0.13 or more, or --validation" in told
    assert "1 held out" in _told(_request(tmp_path, batch_size=1, val_share=0.13))
    assert "nothing is" not in _told(_request(tmp_path, batch_size=1, val_share=0.0))
    _traces(tmp_path, *(_asks("one question", f"answer {number}") for number in range(30)))
    told = _told(_request(tmp_path, batch_size=1))
    assert "nothing is held out: all traces are of one problem: " in told and "; give --validation" in told


def test_characters_that_the_tokenizer_composes_are_learnt_composed_and_told(tmp_path: Path) -> None:
    _traces(tmp_path, _asks("one", 'print("cafe\u0301")'), _asks("two", 'print("caf\u00e9")'))
    told = _told(_request(tmp_path, batch_size=1))
    assert "2 to train on" in told and "1 trace writes some that the tokenizer composes (NFC)" in told
    assert "traces.parquet, row 0)" in told
    _traces(tmp_path, TALK)
    assert "NFC" not in _told(_request(tmp_path, batch_size=1))


def test_a_missing_file_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--traces: .*traces\.parquet: no such file"):
        run(_request(tmp_path), Console(quiet=True))


def test_a_finished_run_is_said_to_be_and_another_is_not_overwritten(tmp_path: Path) -> None:
    request = _request(tmp_path)
    request.out.mkdir()
    metrics = [
        {"step": 1, "data": {"train/loss": 2.0}},
        {"step": 2, "data": {"train/loss": 1.0, "val/loss": 3.0}},
    ]
    result = summary(request, {"traces": 1}, 2, 2, metrics)
    assert result["train_loss"] == {"first": 2.0, "last": 1.0}
    (request.out / "summary.json").write_text(json.dumps(result))
    (request.out / "model").mkdir()
    (request.out / "model" / "config.json").touch()
    assert run(request, Console(quiet=True)) == request.out / "model"
    with pytest.raises(ConfigError, match=r"other settings .epochs was 3, is 4"):
        run(_request(tmp_path, epochs=4), Console(quiet=True))


def test_a_model_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out" / "model").mkdir(parents=True)
    with pytest.raises(ConfigError, match="a model that is not of this command"):
        run(_request(tmp_path), Console(quiet=True))


def test_steps_are_whole_batches_or_fewer(tmp_path: Path) -> None:
    assert total_steps(_request(tmp_path), 70) == 6
    assert total_steps(_request(tmp_path, overrides=("trainer.total_training_steps=5",)), 70) == 5
    with pytest.raises(ConfigError, match="use 1 to 6"):
        total_steps(_request(tmp_path, overrides=("trainer.total_training_steps=7",)), 70)


def test_a_pass_holds_the_longest_trace_or_says_so(tmp_path: Path) -> None:
    def keys(longest: int, **changes: Any) -> dict[str, Any]:
        request = _request(tmp_path, **changes)
        return trainer_keys(
            request, model=BASE, train_file=BASE, val_file=None, longest=longest, recompute=True
        )

    assert keys(100)["data.max_token_len_per_gpu"] == 2048
    assert keys(3000)["data.max_token_len_per_gpu"] == 3000
    assert keys(100, profile="gpu")["data.max_token_len_per_gpu"] == 8192
    with pytest.raises(ConfigError, match="--micro-tokens is 99, the longest trace has 100 tokens"):
        keys(100, micro_tokens=99)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.test_freq=0", "trainer.test_freq=0: use a number of steps"),
        ("trainer.test_freq=5", "no trace is held out: raise --val-share"),
        ("trainer.save_freq=often", "trainer.save_freq=often: use a number of steps"),
        ("trainer.logger=[console]", "keep file in it"),
    ],
)
def test_what_verl_would_trip_over_is_refused(tmp_path: Path, override: str, message: str) -> None:
    request = _request(tmp_path, overrides=(override,))
    with pytest.raises(ConfigError, match=message):
        trainer_keys(request, model=BASE, train_file=BASE, val_file=None, longest=9, recompute=True)


def test_overrides_take_the_place_of_defaults_with_or_without_a_plus() -> None:
    given = parse_overrides(["+model.override_config.attn_implementation=eager", "optim.weight_decay=0"])
    merged = merge({"model.override_config.attn_implementation": "sdpa", "optim.clip_grad": 1}, given)
    assert merged == {
        "optim.clip_grad": 1,
        "+model.override_config.attn_implementation": "eager",
        "optim.weight_decay": "0",
    }


def test_the_profile_is_the_option_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILE", "cpu")
    assert (choose_profile("gpu"), choose_profile(None)) == ("gpu", "cpu")
    monkeypatch.delenv("PROFILE")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert choose_profile(None) == "cpu"


def test_a_trainer_that_fails_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], *, log: Path, **_: Any) -> int:
        log.write_text("[rank0]: torch.OutOfMemoryError: CUDA out of memory.\nx.ChildFailedError: \n")
        return 1

    monkeypatch.setattr("verl_coder.sft.process.run_supervised", fails)
    with pytest.raises(VerlCoderError, match=r"CUDA out of memory.*--micro-tokens"):
        train({}, run_dir=RunDir(tmp_path), steps=1, profile="cpu", name="x", description="SFT")


@pytest.mark.parametrize("name", ["lr=1e-4", "runs (1)", "a,b", "it's [mine]"])
def test_a_folder_of_any_name_is_told_to_the_trainer_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def reads(command: list[str], *, log: Path, **_: Any) -> int:
        log.write_text("ValueError: no\n")
        words = command[command.index("verl_coder.sft.child") + 2 :]
        told.update(
            {one.key_or_group: one.value() for one in OverridesParser.create().parse_overrides(words)}
        )
        return 1

    monkeypatch.setattr("verl_coder.sft.process.run_supervised", reads)
    run_dir = RunDir(tmp_path / name)
    with pytest.raises(VerlCoderError, match="verl's SFT trainer ended"):
        train(
            {"model.path": tmp_path / name / "model"},
            run_dir=run_dir,
            steps=1,
            profile="cpu",
            name=name,
            description="SFT",
        )
    assert told["trainer.default_local_dir"] == str(run_dir.checkpoints)
    assert told["model.path"] == str(tmp_path / name / "model")
    assert (told["trainer.experiment_name"], told["hydra.run.dir"]) == (name, str(run_dir.path))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a", "b"], "row 0: a message is of type str"),
        ("hello", "row 0: messages is of type str"),
        ([{"role": "user", "content": "x"}, None], "row 0: a message is of type NoneType"),
    ],
)
def test_a_column_of_other_things_than_messages_is_named(tmp_path: Path, column: Any, message: str) -> None:
    table = pa.table({"problem_id": ["p"], "messages": [column]})
    pq.write_table(table, tmp_path / "traces.parquet")
    with pytest.raises(DataError, match=message):
        run(_request(tmp_path, batch_size=1), Console())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"function": {"name": "f", "arguments": "{no"}},
            "row 0: tool_calls: the arguments of f are no JSON",
        ),
        ({"id": "3"}, "row 0: one of the tool_calls has no function"),
    ],
)
def test_a_broken_tool_call_is_named(tmp_path: Path, call: dict[str, Any], message: str) -> None:
    answer = {"role": "assistant", "tool_calls": [call]}
    talk = [TALK[0], answer, {"role": "tool", "content": "1"}, TALK[1]]
    pq.write_table(pa.table({"problem_id": ["p"], "messages": [talk]}), tmp_path / "traces.parquet")
    with pytest.raises(DataError, match=message):
        run(_request(tmp_path, batch_size=1, tools="none", val_share=0.0), Console())


def test_tools_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    _traces(tmp_path, TALK)
    (tmp_path / "tools.yaml").write_bytes(b"tools: \xaa")
    with pytest.raises(ConfigError, match=r"--tools .* is no text in UTF-8"):
        run(_request(tmp_path, tools=str(tmp_path / "tools.yaml")), Console(quiet=True))


def test_a_folder_of_traces_is_told_from_a_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "traces.parquet").mkdir()
    with pytest.raises(DataError, match=r"--traces: .* is a folder: name a file"):
        run(_request(tmp_path), Console(quiet=True))
