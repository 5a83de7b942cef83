import json
import subprocess
import sys
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.tiny.build import BASE, BuildSettings, build, sft_traces


def test_the_two_stages_share_no_draw_and_only_the_second_has_direct_answers():
    tool_only, mixed = sft_traces(BuildSettings(steps=20, batch_size=8, direct_share=0.5))
    assert (len(tool_only), len(mixed)) == (120, 40)
    assert all(t.uses_tool for t in tool_only)
    assert 0.2 < sum(t.uses_tool for t in mixed) / len(mixed) < 0.8
    assert not {t.problem.problem_id for t in tool_only} & {t.problem.problem_id for t in mixed}


def test_a_folder_with_files_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_text("")
    with pytest.raises(ConfigError, match="exists and is not an empty folder"):
        build(tmp_path / "model", BuildSettings())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "wrong", [{"steps": 1}, {"direct_share": 1.5}, {"batch_size": 0}, {"measured_problems": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        BuildSettings(**wrong)


def test_the_shipped_base_loads_offline_and_answers_in_the_protocol():
    transformers = pytest.importorskip("transformers")
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(BASE, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE, local_files_only=True)
    assert model.config.model_type == "qwen2"
    assert model.config.vocab_size == len(tokenizer)
    assert model.num_parameters() < 1_000_000
    prompt = [
        {
            "role": "user",
            "content": "Write f(xs): the sum of the numbers over 5 in xs.\nassert f([3, 5, 9]) == 9",
        }
    ]
    inputs = tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=110, do_sample=False, top_k=None, top_p=None)
    text = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :])
    assert "def f(xs):" in text
    assert text.endswith("<|im_end|>")


def test_the_shipped_card_says_what_the_base_can_do_and_leaves_room_to_learn():
    card = json.loads((BASE / "card.json").read_text())
    greedy, sampled = card["measured"]["greedy"], card["measured"]["sampled"]
    assert greedy["rollouts"] >= 200
    assert 0.55 <= greedy["pass_at_1"] <= 0.75
    assert 0.1 <= sampled["tool_rate"] <= 0.6
    # Otherwise reinforcement would rightly drop the tool.
    assert sampled["pass_with_tool"] > sampled["pass_without_tool"] + 0.1


@pytest.mark.e2e
@pytest.mark.timeout(330)
def test_a_small_build_runs_verl_s_sft_trainer_and_leaves_a_whole_model(tmp_path: Path):
    pytest.importorskip("verl")
    arguments = ["--steps", "8", "--batch-size", "8", "--measured-problems", "4"]
    command = [
        sys.executable,
        "-m",
        "verl_coder.cli",
        "tiny",
        "build",
        "--out",
        str(tmp_path / "model"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["settings"]["steps"] == 8
    assert card["measured"]["sampled"]["rollouts"] == 16

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "model")) == 480
