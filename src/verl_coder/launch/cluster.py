"""A run on a Ray cluster that is there already: its address, and what its actors on other machines must be told."""

import json
import os
import re
from collections.abc import Mapping

from omegaconf import DictConfig, open_dict

from verl_coder.data.ray_verification import check_reachable
from verl_coder.errors import ConfigError
from verl_coder.installation import script

_OF_AN_OWN_RAY = ("num_cpus", "num_gpus", "object_store_memory", "include_dashboard")
"""Keys of ray.init that describe a Ray to be started; it refuses them for one that is joined."""
_TOLD = re.compile(
    r"(SANDBOX_URL|PYTHONPATH|OMP_\w+|(VERL|VERL_CODER|VLLM|NCCL|HF|TOKENIZERS|TRANSFORMERS)_\w+)$"
)
_NOT_TOLD = re.compile(r"VERL_CODER_SOCKETS|\w*(TOKEN(?!IZER)|KEY|SECRET|PASSWORD)")
"""A folder of the launcher's machine, and what Ray's dashboard would show to anyone."""
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def cluster_address(config: DictConfig, environment: Mapping[str, str] | None = None) -> str | None:
    """Address of the cluster that the run joins; None where it starts a Ray of its own."""
    environment = os.environ if environment is None else environment
    given = config.ray_kwargs.ray_init.get("address") or environment.get("RAY_ADDRESS") or None
    return None if given == "local" else given


def check_cluster(config: DictConfig) -> str:
    """The address, empty without one; ConfigError where several nodes have no cluster, or nobody answers."""
    address = cluster_address(config)
    if address is None:
        if config.trainer.nnodes > 1:
            raise ConfigError(
                f"trainer.nnodes={config.trainer.nnodes}, and no cluster is named: start one "
                f"({script('start_ray_cluster.sh', 'ray start --head')}), and set RAY_ADDRESS"
            )
        return ""
    try:
        check_reachable(address)
    except ConfigError as error:
        if error.__cause__ is None:
            raise ConfigError(
                f"RAY_ADDRESS={address} is no address: write HOST:PORT or auto, or unset RAY_ADDRESS for a Ray of the "
                "run's own"
            ) from error
        raise ConfigError(
            f"RAY_ADDRESS={address}: nobody answers there ({error.__cause__}): start the cluster, or unset RAY_ADDRESS "
            "for a Ray of the run's own"
        ) from error
    return address


def actors_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What processes on other machines need of this one's environment, which they do not inherit.

    Ray gives them the variables of a submitted job by itself, and refuses those that are named twice.
    """
    environment = os.environ if environment is None else environment
    job = json.loads(environment.get(_JOB, "{}")).get("runtime_env", {}).get("env_vars", {})
    return {
        name: value
        for name, value in sorted(environment.items())
        if _TOLD.match(name) and not _NOT_TOLD.match(name) and name not in job
    }


def join_cluster(config: DictConfig, environment: Mapping[str, str] | None = None) -> bool:
    """Let `ray.init` of this configuration join the cluster, if there is one; whether there is."""
    if cluster_address(config, environment) is None:
        return False
    with open_dict(config):
        given = config.ray_kwargs.ray_init
        for name in _OF_AN_OWN_RAY:
            given.pop(name, None)
        runtime = given.get("runtime_env") or {}
        variables = {**actors_environment(environment), **(runtime.get("env_vars") or {})}
        given.runtime_env = {**runtime, "env_vars": variables}
    return True
