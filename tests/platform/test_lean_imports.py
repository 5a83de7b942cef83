"""Processes that run no engine do without vLLM, and what they leave out is there when it is asked for.

One process is asked all of it, as a run's processes are: it imports what they import.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verl_coder.launch.preflight.grpo import LARGEST_RANK

_CODE = """
import json, sys
import verl
import verl_coder.trainer.rl_trainer, verl_coder.trainer.evaluation.workers      # the trainer, the agent loops
import verl.workers.engine_workers, verl.workers.rollout.vllm_rollout.vllm_rollout   # the actor
from verl_coder.platform.lean_replica import MODULE, lean_replica, start_servers_lean
start_servers_lean()
from verl.workers.rollout.replica import get_rollout_replica_class
replica = get_rollout_replica_class("vllm")
import ray
from verl.third_party import vllm as third_party
from verl.workers.rollout.router import GlobalRequestLoadBalancer
balancer = ray.remote(GlobalRequestLoadBalancer).__ray_metadata__.modified_class
with open(sys.argv[1], "wb") as file:
    file.write(ray.cloudpickle.dumps(balancer))
facts = {
    "vllm": "vllm" in sys.modules,
    "bases": [base.__name__ for base in replica.__mro__],
    "own": sorted(name for name in vars(replica) if not name.startswith("_") or name == "__init__"),
    "sleep level": third_party.VLLM_SLEEP_LEVEL,
}
server = replica.launch_servers.__globals__["vLLMHttpServer"]
stand_in = {name: value for name, value in vars(server).items() if not name.startswith("__")}
import importlib, inspect
real = importlib.import_module(MODULE)
facts["kinds of methods"] = [
    name
    for name, value in vars(real.vLLMHttpServer).items()
    if inspect.isfunction(value) and not name.startswith("__")
    and inspect.iscoroutinefunction(value) != inspect.iscoroutinefunction(stand_in.get(name))
]
facts["not forwarded"] = [
    name for name, value in vars(real.vLLMHttpServer).items()
    if inspect.isfunction(value) and not name.startswith("__") and name not in stand_in
]
facts["generators"] = [
    name for name, value in vars(real.vLLMHttpServer).items()
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value)
]
facts["methods of the replica"] = sorted(set(vars(real.vLLMReplica)) ^ set(vars(replica.__mro__[1])))
import typing, vllm.config.lora
facts["largest rank"] = max(typing.get_args(vllm.config.lora.MaxLoRARanks))
facts["asked for"] = third_party.LLM is vllm.LLM and third_party.parallel_state is vllm.distributed.parallel_state
try:
    third_party.missing
except AttributeError as error:
    facts["missing"] = str(error)
print(json.dumps(facts))
"""


_RECEIVE = """
import pickle, sys
balancer = pickle.load(open(sys.argv[1], "rb"))({"address": "server"})
print(balancer.acquire_server("request"), sorted({"verl", "torch", "vllm"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The balancer's class as Ray sends it."""
    return tmp_path_factory.mktemp("balancer") / "class.pkl"


@pytest.fixture(scope="module")
def facts(balancer: Path) -> dict[str, Any]:
    """What such a process says."""
    environment = {**os.environ, "VERL_PLATFORM": "cpu", "VLLM_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(balancer)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_trainer_agent_loops_and_actor_do_not_import_vllm(facts: dict[str, Any]) -> None:
    assert facts["vllm"] is False


def test_the_replica_is_verls_with_all_of_its_methods(facts: dict[str, Any]) -> None:
    assert facts["bases"][:3] == ["vLLMReplica", "vLLMReplica", "RolloutReplica"]
    assert facts["own"] == ["__init__"], "of ours: it takes the server that has begun"
    assert facts["methods of the replica"] == []


def test_the_servers_stand_in_forwards_every_method_as_what_it_is(facts: dict[str, Any]) -> None:
    assert facts["not forwarded"] == facts["kinds of methods"] == facts["generators"] == []


def test_the_balancers_process_imports_neither_verl_nor_pytorch(
    facts: dict[str, Any], balancer: Path
) -> None:
    said = subprocess.check_output([sys.executable, "-c", _RECEIVE, str(balancer)], text=True)
    assert said.strip() == "('address', 'server') []"


def test_the_largest_rank_of_lora_is_vllms(facts: dict[str, Any]) -> None:
    assert facts["largest rank"] == LARGEST_RANK


def test_what_was_left_out_is_there_when_it_is_asked_for(facts: dict[str, Any]) -> None:
    assert facts["asked for"] is True and facts["sleep level"] == 2
    assert facts["missing"] == "module 'verl.third_party.vllm' has no attribute 'missing'"
