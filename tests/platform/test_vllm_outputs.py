"""vLLM puts a request's output together when it begins and when it ends; streams get every token."""

import json
import subprocess
import sys

from verl_coder.paths import repository_root

_OUTPUTS = """
import json, sys
from transformers import AutoTokenizer
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine import EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import RequestState
from verl_coder.platform.vllm_plugin import register

register(); register()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])

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

print(json.dumps({kind.name: outputs(kind) for kind in RequestOutputKind}))
"""


def test_an_output_is_built_at_the_first_token_and_at_the_end_and_deltas_at_every_token() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OUTPUTS, str(repository_root() / "src/verl_coder/tiny/base")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads(done.stdout.strip().splitlines()[-1])
    assert made["CUMULATIVE"] == [[5], None, None, [5, 6, 7, 8]]
    assert made["DELTA"] == [[5], [6], [7], [8]]
    assert made["FINAL_ONLY"] == [None, None, None, [5, 6, 7, 8]]
