"""A byte-level BPE tokenizer of 480 tokens, of Qwen2's class, with its chat markers and hermes tool markers."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

    from verl_coder.problems import Message

VOCABULARY = 480
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Ordinary tokens: decoding keeps them when it leaves special tokens out, and the tool parser reads them.
TOOL_TOKENS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def chat_template() -> str:
    """The template: Qwen's turns and hermes tool calls, without a tools section and without a default system text.

    Every message is rendered by itself, so that appending one never changes earlier tokens.
    """
    return _TEMPLATE.read_text()


def train_tokenizer(texts: Iterable[str], *, vocabulary: int = VOCABULARY) -> "Qwen2Tokenizer":
    """Learn the merges from `texts` and dress them as a Qwen2 tokenizer. Deterministic."""
    import json

    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - len(SPECIAL_TOKENS) - len(TOOL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    merges: Any = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=merges,
        unk_token=SPECIAL_TOKENS[0],
        pad_token=SPECIAL_TOKENS[0],
        eos_token=SPECIAL_TOKENS[2],
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=1024,
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TOOL_TOKENS])
    tokenizer.chat_template = chat_template()
    return tokenizer


def corpus(conversations: Iterable[Iterable["Message"]]) -> Iterable[str]:
    """Roles and contents of messages, as text to learn merges from (markers are added tokens, never merged)."""
    for messages in conversations:
        for message in messages:
            text = message["content"]
            for token in TOOL_TOKENS:
                text = text.replace(token, "")
            yield "user" if message["role"] == "tool" else message["role"]
            yield text
