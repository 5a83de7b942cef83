"""verl's own dataset class loads the rows with the tool config, and drops the prompts that are too long."""

from pathlib import Path

import pytest

from tests.data.conftest import toy_record, write_jsonl
from verl_coder.data.mix import MixOptions, mix
from verl_coder.data.statistics import collect, token_counter
from verl_coder.paths import repository_root

pytest.importorskip("verl.utils.dataset.rl_dataset", reason="verl is not installed")

TEMPLATE = (
    "{{ preface | default('') }}"
    "{% for t in tools or [] %}{{ t.function.name }}: {{ t.function.description }}\n{% endfor %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOLS = repository_root() / "tool_config" / "python_interpreter.yaml"


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer without merges: one token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*alphabet, "<end>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = TEMPLATE
    folder = tmp_path_factory.mktemp("tokenizer")
    fast.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("options", [{}, {"preface": "p" * 1400}])
def test_verl_loads_a_mix_and_counts_over_long_prompts_as_inspect_does(
    prepare_toy, tmp_path: Path, tokenizer_folder: Path, options: dict[str, str]
) -> None:
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    long = {3: {"text": "very long " * 300}, 7: {"text": "long too " * 400}}
    records = [toy_record(n, **long.get(n, {})) for n in range(40)]
    prepare_toy(write_jsonl(tmp_path / "raw.jsonl", records), tmp_path / "data" / "toy")
    mix(MixOptions(shares={"toy": 1}, data=tmp_path / "data", out=tmp_path / "mix", rows_per_shard=20))
    files = sorted((tmp_path / "mix").glob("*.parquet"))
    assert len(files) >= 2
    config = OmegaConf.create(
        {
            "cache_dir": str(tmp_path / "cache"),
            "max_prompt_length": 1500,
            "filter_overlong_prompts": True,
            "filter_overlong_prompts_workers": 1,
            "return_raw_chat": True,
            "tool_config_path": str(TOOLS),
            "apply_chat_template_kwargs": options,
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    dataset = RLHFDataset([str(file) for file in files], tokenizer, config)
    count = token_counter(str(tokenizer_folder), TOOLS, options)
    over_long = collect(files, count_tokens=count, max_prompt_tokens=1500).over_long
    assert over_long == (40 if options else 2)
    assert len(dataset) == 40 - over_long
    if options:
        return
    row = dataset[0]
    assert row["agent_name"] == "tool_agent" and row["data_source"] == "toy"
    assert row["raw_prompt"][1]["role"] == "user"
    assert "assert f" in row["reward_model"]["ground_truth"]
    assert row["extra_info"]["need_tools_kwargs"] and "prelude" in row["tools_kwargs"]
