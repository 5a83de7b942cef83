"""What the plugin changes in vLLM on the CPU, tried in one process that has it: draws, outputs, guessed tokens."""

import json
import subprocess
import sys
from typing import Any

import pytest

_DRAWS = """
from verl_coder.platform.vllm_plugin import register
register()
register()
import torch
from types import SimpleNamespace
from vllm.v1.sample.ops import topk_topp_sampler
from vllm.v1.worker.gpu_input_batch import InputBatch
from verl_coder.platform.cpu_sampling import RequestDraws
sampler = topk_topp_sampler.TopKTopPSampler()
ids, _ = sampler(torch.tensor([[0.0, 9.0, 8.0, -99.0]] * 50), {}, None, torch.full((50,), 0.6))
assert set(ids.tolist()) == {1}, ids

logits = torch.zeros(4, 5000)
first, _ = sampler(logits.clone(), {2: RequestDraws(7, 10)}, None, None)
again, _ = sampler(logits.clone(), {0: RequestDraws(7, 10), 3: RequestDraws(8, 10)}, None, None)
assert first[2] == again[0] and again[0] != again[3], (first, again)

class Batch(InputBatch):
    def __init__(self):
        self.add_request(request)
request = SimpleNamespace(generator=torch.Generator(), sampling_params=SimpleNamespace(seed=7), num_tokens=10)
try:
    Batch()
except AttributeError:
    pass  # vLLM's part of it, for which nothing is set up
assert (request.generator.seed, request.generator.next_position()) == (7, 10)
"""

_LOGITS = """
from types import SimpleNamespace
import torch
from vllm.v1.sample.sampler import Sampler
from verl_coder.platform.vllm_plugin import register

register(); register()
seen = []
class Recorder(Sampler):
    def apply_logits_processors(self, logits, *more):
        seen.append((logits.dtype, logits.data_ptr(), logits.clone()))
        logits.zero_()
        raise KeyError

asked = SimpleNamespace(max_num_logprobs=None, logprob_token_ids=None)
def sample(logits):
    kept = logits.clone()
    try:
        Recorder()(logits, asked)
    except KeyError:
        pass
    return torch.equal(seen[-1][2], kept.float()), torch.equal(logits, kept)

found = [sample(torch.randn(4, 5000).bfloat16()), sample(torch.randn(3, 5000).bfloat16()), sample(torch.randn(2, 9))]
found += [seen[0][1] == seen[1][1], all(one[0] is torch.float32 for one in seen)]
"""

_OUTPUTS = """
from transformers import AutoTokenizer
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine import EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import RequestState
from verl_coder.paths import repository_root
from verl_coder.platform.vllm_plugin import register

register(); register()
tokenizer = AutoTokenizer.from_pretrained(repository_root() / "src/verl_coder/tiny/base")

def outputs(kind):
    sampling = SamplingParams(max_tokens=4, output_kind=kind)
    request = EngineCoreRequest(
        request_id="a", external_req_id="a", prompt_token_ids=[1, 2], mm_features=None, sampling_params=sampling,
        pooling_params=None, arrival_time=0.0, lora_request=None, cache_salt=None, data_parallel_rank=None,
    )
    state = RequestState.from_new_request(
        tokenizer=tokenizer, request=request, prompt=None, parent_req=None, request_index=0, queue=None,
        log_stats=False, stream_interval=1,
    )
    made = []
    for token in (5, 6, 7, 8):
        state.detokenizer.update([token], False)
        end = FinishReason.LENGTH if token == 8 else None
        output = state.make_request_output([token], None, end, None)
        made.append(output and list(output.outputs[0].token_ids))  # the list itself grows
    return made

found = {kind.name: outputs(kind) for kind in RequestOutputKind}
"""

_NORMS = """
import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.model_executor.layers.layernorm import RMSNorm
from verl_coder.platform.vllm_plugin import register

register(); register()
original = RMSNorm.forward_cpu.verl_coder_original
torch.manual_seed(0)
found, used = {}, []
for name in ("rms_norm", "fused_add_rms_norm"):
    def counted(*given, kernel=getattr(torch.ops._C, name), name=name):
        used.append(name)
        return kernel(*given)
    setattr(torch.ops._C, name, counted)

with set_current_vllm_config(VllmConfig()), torch.inference_mode():
    for case, dtype, shape, settings in (
        ("bfloat16", torch.bfloat16, (5, 896), {}),
        ("float32", torch.float32, (5, 896), {}),
        ("part of a row", torch.float32, (5, 896), {"var_hidden_size": 100}),
        ("no weight", torch.float32, (5, 896), {"has_weight": False}),
        ("other numbers", torch.bfloat16, (5, 896), {"dtype": torch.float32}),
        ("a row of 36", torch.float32, (5, 36), {}),
        ("float64", torch.float64, (5, 896), {}),
    ):
        norm = RMSNorm(shape[-1], dtype=settings.pop("dtype", dtype), **settings)
        norm.weight.data.uniform_(0.5, 2)
        x, residual = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
        used.clear()
        ours = [norm(x), *norm(x.clone(), residual.clone())]
        theirs = [original(norm, x), *original(norm, x.clone(), residual.clone())]
        near = [torch.allclose(a.float(), b.float(), rtol=2**-6 if dtype is torch.bfloat16 else 1e-5, atol=1e-6)
                for a, b in zip(ours, theirs)]
        found[case] = [list(used), all(near) and [a.dtype for a in ours] == [b.dtype for b in theirs]]
    used.clear()
    heads = torch.randn(5, 4096)[:, :896].view(5, 14, 64)  # as queries are cut out of a projection
    norm = RMSNorm(64)
    norm.weight.data.uniform_(0.5, 2)
    near = torch.allclose(norm(heads), original(norm, heads), rtol=1e-5)
    turned = torch.randn(64, 5).T
    ours, theirs = norm(turned.clone(), turned), original(norm, turned.clone(), turned)
    near = near and all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(ours, theirs))
    found["in pieces"] = [list(used), near]
"""

_GUESSES = """
import asyncio
from verl_coder.evaluation.engines import EngineOptions, TurnRequest, VllmEngine
from verl_coder.evaluation.run_config import speculation_of
from verl_coder.evaluation.trajectories import load_tokenizer
from verl_coder.paths import repository_root

folder = repository_root() / "src/verl_coder/tiny/base"
question = (
    "<|im_start|>user\\nWrite f(xs): the list of the values times 4 of numbers over 18 in xs.\\n"
    "assert f([6, 18, 2, 1]) == []<|im_end|>\\n<|im_start|>assistant\\n"
)
program = "def f(xs):\\n    kept = [x for x in xs if x > 18]\\n    return [x * 4 for x in kept]\\n"
answer = "```python\\n" + program + "```<|im_end|>\\n"
prompt = load_tokenizer(folder).encode((question + answer) * 3 + question)

async def write(engine):
    asked = [
        TurnRequest(prompt_ids=prompt, max_tokens=40, temperature=temperature, seed=number if temperature else None)
        for number, temperature in enumerate([0.0, 0.5, 0.7, 1.0, 1.0, 1.3])
    ]
    return [turn.token_ids for turn in await asyncio.gather(*map(engine.write, asked))]

texts, steps = [], []
for name in ("none", "lookup"):
    options = EngineOptions(max_model_len=512, max_num_seqs=8, dtype="float32", speculation=speculation_of(name))
    engine = VllmEngine(folder, options)
    step, counted = engine._engine.step, [0]
    def count():
        counted[0] += 1
        return step()
    engine._engine.step = count
    texts.append(asyncio.run(write(engine)))
    steps.append(counted[0])
    engine.close()
found = [texts, steps]
"""

_ALL = """
import json, sys, traceback
from verl_coder.platform.environment import select_platform

select_platform()
facts = {}
for name, code in json.loads(sys.argv[1]).items():
    scope = {}
    try:
        exec(code, scope)
        facts[name] = ["", scope.get("found")]
    except Exception:
        facts[name] = [traceback.format_exc(), None]
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """By part: (the error or nothing, what it found)."""
    parts = {"draws": _DRAWS, "logits": _LOGITS, "outputs": _OUTPUTS, "norms": _NORMS, "guesses": _GUESSES}
    done = subprocess.run(
        [sys.executable, "-c", _ALL, json.dumps(parts)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_vllm_draws_by_one_number_a_row(seen: dict[str, Any]) -> None:
    assert not seen["draws"][0], seen["draws"][0]


def test_an_output_is_built_at_the_first_token_and_at_the_end_and_deltas_at_every_token(
    seen: dict[str, Any],
) -> None:
    error, made = seen["outputs"]
    assert not error, error
    assert made["CUMULATIVE"] == [[5], None, None, [5, 6, 7, 8]]
    assert made["DELTA"] == [[5], [6], [7], [8]]
    assert made["FINAL_ONLY"] == [None, None, None, [5, 6, 7, 8]]


def test_logits_become_float32_in_memory_that_stays(seen: dict[str, Any]) -> None:
    error, found = seen["logits"]
    assert not error, error
    # The same values; logits that are float32 already are changed in place, as vLLM does.
    assert found == [[True, True], [True, True], [True, False], True, True]


def test_norms_are_one_kernel_each_where_it_computes_the_same(seen: dict[str, Any]) -> None:
    error, found = seen["norms"]
    assert not error, error
    both = ["rms_norm", "fused_add_rms_norm"]
    assert found == {
        "bfloat16": [both, True],
        "float32": [both, True],
        "part of a row": [[], True],
        "no weight": [[], True],
        "other numbers": [[], True],
        "a row of 36": [[], True],
        "float64": [[], True],
        "in pieces": [["rms_norm"], True],
    }


def test_vllm_writes_the_same_with_guessed_tokens_in_fewer_steps(seen: dict[str, Any]) -> None:
    error, found = seen["guesses"]
    assert not error, error
    (without, with_guesses), steps = found
    assert without == with_guesses
    assert steps[1] < steps[0]
