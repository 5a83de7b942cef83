"""The additions to verl's trainer, and its runs: the end-to-end one is a few steps of the tiny model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch


@pytest.mark.e2e
def test_a_short_run_writes_a_model_that_loads_and_has_learnt(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from verl_coder.tiny.build import BASE
    from verl_coder.tiny.problems import problems
    from verl_coder.tiny.trace_file import write_trace_rows
    from verl_coder.tiny.traces import write_traces

    # The shipped model never gives this answer: there is something to learn.
    traces = [
        replace(trace, messages=(*trace.messages[:-1], {"role": "assistant", "content": "pass"}))
        for trace in write_traces(problems("rl", 24, seed=0), seed=0, direct_share=1.0)
    ]
    write_trace_rows(traces, tmp_path / "t.parquet")
    command = [
        *(sys.executable, "-m", "verl_coder.cli", "sft", "--model", str(BASE)),
        *("--traces", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "out"), "--profile", "cpu"),
        *("--batch-size", "4", "--val-share", "0.2", "--epochs", "1", "--learning-rate", "1e-3"),
        *("--micro-tokens", "160", "optim.lr_warmup_steps_ratio=0", "trainer.total_training_steps=4"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert result["steps"] == 4 and result["data"]["held_out"] == 5
    assert result["validation_loss"]["after"] < result["validation_loss"]["before"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metrics.jsonl",
        "model",
        "sft.log",
        "summary.json",
    ]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    assert model.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(BASE).chat_template
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.startswith("finished: ")
