"""Every row of a run's data, read before Ray starts: its tests, its prompt, and how long that is for this model."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jinja2 import TemplateError
from omegaconf import DictConfig, OmegaConf

from verl_coder.chat_template import options_of_run
from verl_coder.data.prepared import whole_pages
from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.preflight.agent_loops import agent_names, check_template, fit_tools_to_rows
from verl_coder.launch.preflight.model import positions_of
from verl_coder.launch.recipe import file_list
from verl_coder.problems import parse_test_suite
from verl_coder.traces import load_tool_schemas
from verl_coder.words import counted

READ = ("data_source", "prompt", "reward_model", "extra_info")
_BATCH = 512
_NAMED_ROWS = 8
_TELL_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Prompt lengths of one set of files, in tokens of the model's own template."""

    place: str
    """`data.train_files` or `data.val_files`."""
    tokens: Sequence[int]
    limit: int
    filtered: bool
    """Longer prompts are left out (`data.filter_overlong_prompts`)."""
    digests: Sequence[int] = ()
    """Of each prompt: equal ones tell that a problem is there twice."""
    room: int | None = None
    """Tokens of a prompt that the model has positions for, beside the response; None: nobody knows."""
    response: int = 0
    """`data.max_response_length`, where `max_model_len` is set and must hold both."""

    @property
    def kept(self) -> int:
        """Rows that stay."""
        return sum(length <= self.limit for length in self.tokens)

    def needed(self, rows: int) -> int:
        """The smallest limit that keeps `rows` rows."""
        return sorted(self.tokens)[min(rows, len(self.tokens)) - 1]

    def cure(self, *, least: int = 0) -> str:
        """The limits that would keep more: `least` rows, most of them, all, as far as the model has positions."""
        total = len(self.tokens)
        wanted = {
            self.needed(rows): words
            for rows, words in (
                *([(least, f"keeps {least}")] if least else []),
                (-(-total * 9 // 10), "keeps 90 %"),
                (total, "keeps all"),
            )
        }
        room = max(self.tokens) if self.room is None else self.room
        words = [
            f"data.max_prompt_length={limit}{self._window(limit)} {kept}"
            for limit, kept in sorted(wanted.items())
            if self.limit < limit <= room
        ]
        if room < max(self.tokens):
            fit = sum(length <= room for length in self.tokens)
            most = f"data.max_prompt_length={room}{self._window(room)} keeps {fit} of {total}, as many as"
            words.append(
                f"{most if fit else 'none fits into what'} MODEL has positions for beside the response"
            )
        return ", ".join(words)

    def _window(self, limit: int) -> str:
        """The other setting that grows with it."""
        return f" actor_rollout_ref.rollout.max_model_len={limit + self.response}" if self.response else ""

    def describe(self) -> str:
        """`1024 of 1024 stay (41 to 93 tokens, limit 96)`."""
        return (
            f"{self.kept} of {len(self.tokens)} rows stay ({min(self.tokens)} to {max(self.tokens)} tokens, "
            f"data.max_prompt_length={self.limit})"
        )


def check_rows(
    config: DictConfig, *, tests_are_parsed: bool, sets: Sequence[str] = ("train", "val")
) -> dict[str, Lengths]:
    """Read every row; DataError names the bad ones, ConfigError lengths that leave too few. `train`, `val` -> Lengths.

    `tests_are_parsed`: the reward grades by the hidden tests, so that each row's must be readable. `sets`: those whose
    files are there.
    """
    files = [file for name in sets for file in file_list(config.data[f"{name}_files"])]
    loops = {name for file in files for name in agent_names(file)}
    fit_tools_to_rows(config, loops)
    tokenizer = load_tokenizer(config)
    check_template(tokenizer, loops, options_of_run(config))
    count = _prompt_counter(config, tokenizer)
    control = [token for token in tokenizer.all_special_tokens if token.startswith("<|")]
    found, positions = {}, positions_of(config)
    for name in sets:
        place = f"data.{name}_files"
        tokens: list[int] = []
        digests: list[int] = []
        for path in file_list(config.data[f"{name}_files"]):
            prompts = _read(place, path, control, tests_are_parsed=tests_are_parsed)
            tokens += _lengths(place, path, prompts, count)
            digests += [hash(json.dumps(prompt, sort_keys=True, default=str)) for prompt in prompts]
        if not tokens:
            raise DataError(f"{place} has no row")
        lengths = Lengths(
            place=place,
            tokens=tokens,
            limit=int(config.data.max_prompt_length),
            filtered=bool(config.data.filter_overlong_prompts),
            digests=digests,
            room=positions and positions - int(config.data.max_response_length),
            response=int(config.data.max_response_length)
            if config.actor_rollout_ref.rollout.max_model_len
            else 0,
        )
        _check_lengths(lengths, least=int(config.data.train_batch_size) if name == "train" else 1)
        found[name] = lengths
    return found


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, without columns that a run does not read; DataError where it is damaged."""
    with whole_pages(str(path)):
        file = pq.ParquetFile(path)
        columns = [name for name in READ if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            yield from batch.to_pylist()


def one_row_per_source(files: Iterable[Path], most: int = 8) -> list[dict[str, Any]]:
    """The first row of each `data_source`, of at most `most` of them."""
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        for row in read_rows(path):
            if row["data_source"] not in found and isinstance(row.get("reward_model"), Mapping):
                found[row["data_source"]] = row
                if len(found) == most:
                    return list(found.values())
    return list(found.values())


def repeated(train: Lengths, val: Lengths) -> list[str]:
    """What is there twice, in words: a held-out problem that is trained on, rows with another row's prompt."""
    known, found = set(train.digests), []
    seen = sum(digest in known for digest in val.digests)
    if seen:
        found.append(
            f"{val.place}: {seen} of {len(val.digests)} prompts are in {train.place}, too: what is held out is "
            "trained on"
        )
    for lengths in (train, val):
        again = len(lengths.digests) - len(set(lengths.digests))
        if again:
            found.append(f"{lengths.place}: {again} of {len(lengths.digests)} rows have another row's prompt")
    return found


def _read(place: str, path: Path, control: Sequence[str], *, tests_are_parsed: bool) -> list[Any]:
    """Prompts of a file's rows; DataError names its bad rows, and the first one's fault."""
    prompts, bad = [], []
    for index, row in enumerate(read_rows(path)):
        fault = _fault(row, control, tests_are_parsed=tests_are_parsed)
        if fault:
            bad.append((index, _problem_id(row), fault))
        else:
            prompts.append(row["prompt"])
    if bad:
        index, problem, fault = bad[0]
        rows = ", ".join(str(index) for index, *_ in bad[:_NAMED_ROWS]) + (
            ", ..." if len(bad) > _NAMED_ROWS else ""
        )
        more = f"; {len(bad)} of {len(bad) + len(prompts)} rows are bad ({rows})" if len(bad) > 1 else ""
        raise DataError(f"{place}: {path} row {index}{problem}: {fault}{more}: mend or drop them")
    return prompts


def _lengths(place: str, path: Path, prompts: Sequence[Any], count: Any) -> list[int]:
    try:
        return _count_and_tell(f"{place}: {path.name}", prompts, count)
    except (TypeError, ValueError, KeyError, AttributeError, TemplateError) as error:
        raise DataError(f"{place}: {path}: the model's template renders no prompt of it ({error})") from error


def _count_and_tell(name: str, prompts: Sequence[Any], count: Any) -> list[int]:
    """Lengths of all prompts; where that takes long, how far it is, on stderr."""
    tokens: list[int] = []
    began = told = time.monotonic()
    for start in range(0, len(prompts), _BATCH):
        tokens += count(prompts[start : start + _BATCH])
        now = time.monotonic()
        if now - told > _TELL_EVERY_S and len(tokens) < len(prompts):
            told, left = now, (len(prompts) - len(tokens)) * (now - began) / len(tokens)
            print(
                f"{name}: {len(tokens)} of {len(prompts)} prompts counted, {left:.0f} s left", file=sys.stderr
            )
    return tokens


def _problem_id(row: Mapping[str, Any]) -> str:
    problem = (row.get("extra_info") or {}).get("problem_id")
    return f" ({problem})" if problem else ""


def _fault(row: Mapping[str, Any], control: Sequence[str], *, tests_are_parsed: bool) -> str:
    """What is wrong with a row; empty where nothing is."""
    prompt = row.get("prompt")
    if not isinstance(prompt, list) or not prompt:
        return "prompt is empty: give a list of {role, content}"
    for message in prompt:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            return f"prompt has {message!r}, which is no {{role, content}}"
        if not isinstance(message.get("content"), str | list):
            return f"prompt has a message of {message['role']} whose content is {message.get('content')!r}"
        found = [token for token in control if token in str(message["content"])]
        if found:
            return (
                f"prompt holds {found[0]!r}, a control token of this model: it would end a turn, or begin one"
            )
    if not any(message["content"] for message in prompt):
        return "prompt has no text in any message"
    if not isinstance(row.get("data_source"), str):
        return "data_source is null: name the dataset that the row is of"
    truth = (row.get("reward_model") or {}).get("ground_truth")
    if not tests_are_parsed:
        return ""
    if truth is None:
        return "reward_model.ground_truth is null, and the reward grades by its hidden tests"
    try:
        suite = parse_test_suite(truth)
    except DataError as error:
        return f"reward_model.{error}"
    return "" if len(suite) else "reward_model.ground_truth holds no test"


def _prompt_counter(config: DictConfig, tokenizer: Any) -> Any:
    """prompts -> their lengths in tokens, rendered as verl's dataset and the agent loop render them."""
    from verl.utils.tokenizer import normalize_token_ids

    tokenizer.model_max_length = 10**9  # what is too long is said here, not warned of there
    options = options_of_run(config)
    for name in ("tokenize", "return_dict", "return_tensors"):
        options.pop(name, None)
    if schemas := load_tool_schemas(config.data.get("tool_config_path")):
        options["tools"] = schemas

    def count(prompts: Sequence[Any]) -> list[int]:
        return [
            len(
                normalize_token_ids(
                    tokenizer.apply_chat_template(
                        prompt, add_generation_prompt=True, tokenize=True, **options
                    )
                )
            )
            for prompt in prompts
        ]

    return count


_ANY_TEXT = "def f(x):\n    return x + 1\n"


def load_tokenizer(config: DictConfig) -> Any:
    """The run's tokenizer with its template; ConfigError where it does not load or has no template."""
    from transformers import AutoTokenizer

    model = config.actor_rollout_ref.model
    path = str(model.get("tokenizer_path") or model.path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, trust_remote_code=bool(model.get("trust_remote_code"))
        )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"MODEL: the tokenizer of {path} does not load ({reason})") from error
    if not set(tokenizer.encode(_ANY_TEXT, add_special_tokens=False)) - set(tokenizer.all_special_ids):
        raise ConfigError(
            f"MODEL: the tokenizer of {path} knows no token of a text: its vocabulary is missing (tokenizer.json)"
        )
    if model.get("custom_chat_template"):
        tokenizer.chat_template = model.custom_chat_template
    if not tokenizer.chat_template:
        raise ConfigError(
            f"MODEL: {path} has no chat template: take an Instruct model, or give one in "
            "actor_rollout_ref.model.custom_chat_template"
        )
    return tokenizer


def _check_lengths(lengths: Lengths, *, least: int) -> None:
    """ConfigError where too few prompts fit; it tells the limits that would do."""
    total = len(lengths.tokens)
    if not lengths.filtered and lengths.kept < total:
        raise ConfigError(
            f"{lengths.place}: {total - lengths.kept} of {total} prompts are longer than "
            f"data.max_prompt_length={lengths.limit} tokens: set {max(lengths.tokens)}, or "
            "data.filter_overlong_prompts=true"
        )
    if lengths.kept >= least:
        return
    if total < least:
        raise DataError(
            f"{lengths.place} has {counted(total, 'row')}, fewer than data.train_batch_size={least}"
        )
    raise ConfigError(
        f"{lengths.place}: {lengths.kept} of {total} prompts fit data.max_prompt_length={lengths.limit} tokens, "
        f"{least} or more must: {lengths.cure(least=least)}"
    )


def _rows_trained_on(config: DictConfig, train: Lengths) -> int:
    """Rows that stay of those that verl draws: it takes `train_max_samples` first, and leaves out what is long then."""
    most, total, seed = int(config.data.get("train_max_samples") or -1), len(train.tokens), config.data.seed
    if not 0 < most < total:
        return train.kept
    if not config.data.shuffle:
        drawn: Sequence[int] = range(most)
    elif seed is None:
        return max(most - (total - train.kept), 0)  # at the worst
    else:
        drawn = np.random.default_rng(seed).choice(total, size=most, replace=False).tolist()
    return sum(train.tokens[row] <= train.limit for row in drawn)


def fit_epochs(config: DictConfig, train: Lengths) -> str:
    """Let total_epochs and total_training_steps agree, for the rows that stay; what was changed, or an empty text.

    verl ends at whichever comes first, and takes an end by the epochs for no last step: no evaluation, no best.
    """
    rows, batch = _rows_trained_on(config, train), int(config.data.train_batch_size)
    an_epoch = rows // batch
    if not an_epoch:
        raise DataError(
            f"data.train_max_samples={config.data.train_max_samples}: {rows} of these fit the limits, and a batch "
            f"takes data.train_batch_size={batch}"
        )
    steps, epochs = config.trainer.total_training_steps, int(config.trainer.total_epochs)
    if steps is None:
        OmegaConf.update(config, "trainer.total_training_steps", an_epoch * epochs)
        return ""
    if steps > an_epoch * epochs:
        needed = -(-int(steps) // an_epoch)
        OmegaConf.update(config, "trainer.total_epochs", needed)
        take = counted(int(steps), "step takes", "steps take")
        return f"{take} {needed} epochs of {an_epoch} steps: trainer.total_epochs={epochs} is raised"
    return ""
