import json

import pytest

from verl_coder.protocols import tool_call
from verl_coder.tiny.problems import problems
from verl_coder.tiny.tokenizer import TOOL_TOKENS, corpus, train_tokenizer
from verl_coder.tiny.traces import TOOL_NAME, write_traces

TOOLS = [
    {"type": "function", "function": {"name": "python_interpreter", "description": "Runs.", "parameters": {}}}
]


@pytest.fixture(scope="module")
def traces():
    return list(write_traces(problems("sft", 600, seed=0), seed=0, direct_share=0.2))


@pytest.fixture(scope="module")
def tokenizer(traces, tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(corpus(t.messages for t in traces)).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    return AutoTokenizer.from_pretrained(folder)


def render(tokenizer, messages, **kwargs):
    return list(tokenizer.apply_chat_template(list(messages), return_dict=False, **kwargs))


def test_it_is_a_qwen2_tokenizer_of_480_tokens(tokenizer):
    assert type(tokenizer).__name__.startswith("Qwen2Tokenizer")
    assert len(tokenizer) == 480
    assert tokenizer.decode([tokenizer.eos_token_id]) == "<|im_end|>"
    assert tokenizer.decode([tokenizer.pad_token_id]) == "<|endoftext|>"


@pytest.mark.parametrize("text", ["naïve 数 \n\t x = 12\r\n", "a" * 50, "<tool_call>\n{}\n</tool_call>", ""])
def test_any_text_survives_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_are_single_tokens(tokenizer):
    digits = [i for token, i in tokenizer.get_vocab().items() if any(c in "0123456789" for c in token)]
    assert len(digits) == 10


def test_tool_markers_are_one_token_and_survive_decoding_without_special_tokens(tokenizer):
    for token in TOOL_TOKENS:
        assert len(tokenizer.encode(token)) == 1
    text = tool_call(TOOL_NAME, "print(1)")
    ids = render(tokenizer, [{"role": "assistant", "content": text}])
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"assistant\n{text}\n"


def test_appending_messages_never_changes_earlier_tokens(tokenizer, traces):
    for trace in traces[:40]:
        whole = render(tokenizer, trace.messages)
        for count in range(1, len(trace.messages)):
            part = render(tokenizer, trace.messages[:count])
            assert whole[: len(part)] == part
            if trace.messages[count]["role"] == "assistant":
                opened = render(tokenizer, trace.messages[:count], add_generation_prompt=True)
                assert whole[: len(opened)] == opened


def test_a_structured_call_renders_as_the_text_of_the_traces(tokenizer):
    code = 'def f(xs):\n    return "é"\ncheck(f)'
    as_text = {"role": "assistant", "content": tool_call(TOOL_NAME, code)}
    for arguments in ({"code": code}, json.dumps({"code": code}, ensure_ascii=False)):
        function = {"name": "python_interpreter", "arguments": arguments}
        structured = {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": function}],
        }
        assert render(tokenizer, [structured]) == render(tokenizer, [as_text])


def test_prompts_are_short_and_tool_schemas_add_nothing(tokenizer, traces):
    lengths = []
    for trace in traces:
        prompt = render(tokenizer, trace.problem.prompt, add_generation_prompt=True)
        assert prompt == render(tokenizer, trace.problem.prompt, add_generation_prompt=True, tools=TOOLS)
        lengths.append(len(prompt))
    assert max(lengths) <= 96
    assert max(len(render(tokenizer, t.messages)) for t in traces) <= 384


def test_verl_s_continuous_tokens_equal_the_rendered_conversation(tokenizer, traces):
    wiring = pytest.importorskip("verl.utils.tokenizer.continuous_token_wiring")
    builder = wiring.create_continuous_token_builder(tokenizer, hf_model_type="qwen2")
    trace = max(traces, key=lambda t: len(t.messages))
    messages = list(trace.messages)
    ids = builder.build_initial_tokens(messages[:1], tools=TOOLS)
    for position in range(1, len(messages), 2):
        generated = [*tokenizer.encode(messages[position]["content"]), tokenizer.eos_token_id]
        ids = builder.merge_assistant_tokens(ids, generated).token_ids
        if position + 1 < len(messages):
            before, after = messages[: position + 1], messages[: position + 2]
            ids = builder.merge_context_tokens(before, after, ids, tools=TOOLS).token_ids
    assert [*ids, *tokenizer.encode("\n")] == render(tokenizer, messages)


def test_verl_s_sft_dataset_masks_all_but_what_the_assistant_says(tokenizer, traces, tmp_path):
    module = pytest.importorskip("verl.utils.dataset.multiturn_sft_dataset")
    from verl_coder.tiny.sft import write_messages

    write_messages((t.messages for t in traces[:20]), tmp_path / "sft.parquet")
    config = {"pad_mode": "no_padding", "max_length": 384}
    dataset = module.MultiTurnSFTDataset(str(tmp_path / "sft.parquet"), tokenizer, config)
    for item, trace in zip(range(20), traces, strict=False):
        row = dataset[item]
        learned = tokenizer.decode(row["input_ids"][row["loss_mask"] == 1])
        said = [m["content"] for m in trace.messages if m["role"] == "assistant"]
        assert learned == "".join(f"{text}<|im_end|>\n" for text in said)
