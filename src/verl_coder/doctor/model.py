"""The model's folder: weights, template, tool format, think tags, stop tokens, a generation, LoRA's targets."""

import json
from pathlib import Path
from typing import Any

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed, skipped, warned
from verl_coder.doctor.conversations import QUESTION, tool_call
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.doctor.stages import tool_name
from verl_coder.errors import VerlCoderError

_ALWAYS_GENERATES = 20_000_000
"""Parameters: a model up to this size writes an answer unasked, a larger one with --model only."""
_NEW_TOKENS = 24
_INSTRUCT = "take the Instruct model of the same size, or its tokenizer_config.json and chat_template.jinja"


def _weights(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.model import check_model
    from verl_coder.launch.preflight.places import parameter_count

    path = str(situation.config.actor_rollout_ref.model.path)
    check_model(path)
    folder = situation.model_folder
    return passed(f"{folder}: {parameter_count(str(folder)) / 1e6:,.1f} M parameters, every file whole")


def _window(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.model import check_window

    folder = situation.model_folder
    check_window(situation.config)
    data, rollout = situation.config.data, situation.config.actor_rollout_ref.rollout
    wanted = rollout.max_model_len or data.max_prompt_length + data.max_response_length
    most = json.loads((folder / "config.json").read_text()).get("max_position_embeddings")
    return passed(f"the rollout takes {wanted} positions" + (f" of {most}" if most else ""))


def _template(situation: Situation) -> CheckResult:
    tokenizer = situation.tokenizer
    answer = {"role": "assistant", "content": "The answer."}
    before = _render(situation, [QUESTION], add_generation_prompt=True)
    after = _render(situation, [QUESTION, answer])
    if QUESTION["content"] not in before:
        return failed("the chat template leaves the user's message out of the prompt", _INSTRUCT)
    if not after.startswith(before) or "The answer." not in after[len(before) :]:
        return failed("the chat template does not append the assistant's turn to its prompt", _INSTRUCT)
    ids = tokenizer.encode(before, add_special_tokens=False)
    return passed(
        f"a turn is appended to its prompt; a question of {len(QUESTION['content'])} characters is {len(ids)} tokens"
    )


def _render(situation: Situation, messages: list[dict[str, str]], **arguments: Any) -> str:
    options = {**situation.template_options, **arguments, "tokenize": False}
    return str(situation.tokenizer.apply_chat_template(messages, **options))


def _tool_format(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.traces import call_reader

    tokenizer, name = situation.tokenizer, tool_name(situation)
    format_name = situation.config.actor_rollout_ref.rollout.multi_turn.format
    reads = call_reader(situation.config, tokenizer) if name else None
    if name is None or reads is None:
        return skipped("the recipe has no tools")
    if format_name != "hermes":
        return skipped(f"multi_turn.format={format_name}: only the form of hermes is known here")
    code = 'print("a \\"quoted\\" text\\n")'
    ids = tokenizer.encode(tool_call(name, code), add_special_tokens=False)
    found = [call for call in reads(tokenizer.decode(ids)) if not getattr(call, "mistake", "")]
    if not found:
        return failed(
            f"the parser {format_name!r} finds no call in a call of {name} that this tokenizer has encoded",
            "actor_rollout_ref.rollout.multi_turn.format=<the model's>",
        )
    if found[0].name != name or json.loads(found[0].arguments) != {"code": code}:
        return failed(f"a call of {name} was read as {found[0].name}({found[0].arguments[:80]})", _INSTRUCT)
    from verl_coder.traces import load_tool_schemas

    schemas = load_tool_schemas(situation.config.actor_rollout_ref.rollout.multi_turn.tool_config_path)
    told = name in _render(situation, [QUESTION], tools=schemas, add_generation_prompt=True)
    words = "" if told else "; the template does not describe tools, so the prompt's text must"
    return passed(f"a call of {name} is read as it was written ({format_name}){words}")


def _think_tags(situation: Situation) -> CheckResult:
    tokenizer = situation.tokenizer
    text = "<think>\nA thought.\n</think>\nThe answer."
    ids = tokenizer.encode(text, add_special_tokens=False)
    # As verl's reward loop decodes a rollout.
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    if decoded == text:
        return passed(f"<think> and </think> come back from the tokens ({len(ids)} for a line of thinking)")
    if "<think>" in tokenizer.decode(ids):
        return failed(
            f"<think> is a special token, left out where an answer is decoded: {decoded[:60]!r}",
            "make it no special token in tokenizer_config.json (added_tokens_decoder: special: false)",
        )
    return failed(f"the text with think tags comes back as {decoded[:60]!r}", _INSTRUCT)


def stop_tokens(folder: Path, tokenizer: Any) -> set[int]:
    """Token ids at which vLLM ends an answer: the tokenizer's, and those of generation_config.json."""
    found = {int(tokenizer.eos_token_id)} if tokenizer.eos_token_id is not None else set()
    file = folder / "generation_config.json"
    named = json.loads(file.read_text()).get("eos_token_id") if file.is_file() else None
    return found | set(named if isinstance(named, list) else [] if named is None else [named])


def _stop_tokens(situation: Situation) -> CheckResult:
    tokenizer = situation.tokenizer
    end = str(situation.trace_tokenizer.turn_end)
    stops = stop_tokens(situation.model_folder, tokenizer)
    names = ", ".join(tokenizer.convert_ids_to_tokens(token) or "?" for token in sorted(stops))
    if not end:
        return failed(
            "the chat template puts no control token behind an answer: no turn ever ends", _INSTRUCT
        )
    if tokenizer.convert_tokens_to_ids(end) not in stops:
        return failed(
            f"the template ends a turn with {end!r}, and an answer stops at {names or 'nothing'}: "
            "answers run on to the limit",
            "tokenizer_config.json: eos_token, or generation_config.json: eos_token_id",
        )
    if tokenizer.eos_token != end:
        return warned(
            f"a turn ends with {end!r}, and eos_token is {tokenizer.eos_token!r}: SFT would teach the latter, "
            "so it refuses the model, as a run with a teacher's traces does",
            f"tokenizer_config.json: eos_token={end}",
        )
    return passed(f"a turn ends with {end!r}, at which an answer stops ({names})")


def _generation(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.places import parameter_count

    folder, tokenizer = situation.model_folder, situation.tokenizer
    if not situation.options.loads_model and parameter_count(str(folder)) > _ALWAYS_GENERATES:
        return skipped(f"{folder} is large: --model {folder} loads it for one answer")
    import torch
    from transformers import AutoModelForCausalLM

    from verl_coder.model_config import plain_config

    with _quiet():
        model = AutoModelForCausalLM.from_pretrained(folder, config=plain_config(folder), dtype="auto").eval()
    ids = tokenizer.apply_chat_template(
        _question(situation),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
        return_tensors="pt",
        **situation.template_options,
    )
    with torch.inference_mode():
        logits = model(ids).logits
        if not bool(torch.isfinite(logits).all()):
            return failed(
                "the logits of a prompt are not finite: the weights are broken", "fetch the model again"
            )
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=_NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    new = out[0, ids.shape[1] :].tolist()
    text = tokenizer.decode(new, skip_special_tokens=True).strip()
    if (len(set(new)) == 1 and len(new) == _NEW_TOKENS) or not text:
        return failed(
            f"asked for a solution it writes {text[:60]!r}: these weights are no trained model",
            "fetch it again",
        )
    return passed(f"asked for a solution it writes {text[:60]!r}")


def _question(situation: Situation) -> list[dict[str, str]]:
    """The prompt of the data's first row, where there is one."""
    from verl_coder.launch.preflight.rows import read_rows

    try:
        return list(next(read_rows(situation.data_files[0]))["prompt"])
    except (NotHereError, VerlCoderError, StopIteration, KeyError, TypeError, OSError, ValueError):
        return [QUESTION]  # what is wrong with the data is the finding of another check


def _quiet() -> Any:
    import contextlib

    from transformers.utils import logging

    logging.disable_progress_bar()
    return contextlib.nullcontext()


def _lora(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.grpo import check_lora, linear_layers

    model = situation.config.actor_rollout_ref.model
    if not int(model.get("lora_rank") or 0):
        check_lora(situation.config)
        return skipped("lora_rank is 0: all parameters are trained")
    folder = situation.model_folder
    check_lora(situation.config)
    layers = linear_layers(str(folder))
    if not layers:
        raise NotHereError(f"{folder} has no linear layers")
    kinds = sorted({layer.rpartition(".")[2] for layer in layers})
    return passed(f"rank {model.lora_rank} on {model.target_modules}: the model has {', '.join(kinds)}")


_FETCH = "MODEL=<folder>; `hf download OWNER/NAME --local-dir FOLDER` fetches one"
CHECKS = (
    DoctorCheck(name="model-weights", component="model", look=_weights, fix=_FETCH),
    DoctorCheck(
        name="model-window",
        component="model",
        look=_window,
        fix="a lower actor_rollout_ref.rollout.max_model_len, or lower lengths in data.",
    ),
    DoctorCheck(name="model-template", component="model", look=_template, fix=_INSTRUCT),
    DoctorCheck(name="model-tool-format", component="model", look=_tool_format, fix=_INSTRUCT),
    DoctorCheck(name="model-think-tags", component="model", look=_think_tags, fix=_INSTRUCT),
    DoctorCheck(name="model-stop-tokens", component="model", look=_stop_tokens, fix=_INSTRUCT),
    DoctorCheck(name="model-generation", component="model", look=_generation, fix=_FETCH),
    DoctorCheck(
        name="lora-targets",
        component="model",
        look=_lora,
        fix="actor_rollout_ref.model.target_modules=all-linear",
    ),
)
