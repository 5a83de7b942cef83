"""A run that joins a Ray cluster: what is refused before, and what its actors elsewhere are told."""

import json

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.cluster import actors_environment, check_cluster, cluster_address, join_cluster


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def config(nodes: int = 1, **ray_init: object) -> DictConfig:
    return OmegaConf.create({"trainer": {"nnodes": nodes}, "ray_kwargs": {"ray_init": ray_init}})


def test_several_nodes_without_a_cluster_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.nnodes=2, and no cluster .*start_ray_cluster\.sh"):
        check_cluster(config(2))
    assert check_cluster(config(1)) == ""


def test_a_cluster_that_has_ended_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS=127\.0\.0\.1:9: nobody answers there"):
        check_cluster(config(2))
    for junk in ("junk", "head:", ":6379", "head:99999"):
        monkeypatch.setenv("RAY_ADDRESS", junk)
        with pytest.raises(ConfigError, match=f"RAY_ADDRESS={junk} is no address: write HOST:PORT or auto"):
            check_cluster(config())


def test_the_configurations_address_comes_before_the_environments() -> None:
    environment = {"RAY_ADDRESS": "head:6379"}
    assert cluster_address(config(), environment) == "head:6379"
    assert cluster_address(config(address="other:1"), environment) == "other:1"
    assert cluster_address(config(address="local"), environment) is None


def test_what_only_an_own_ray_takes_is_left_out_when_joining() -> None:
    joining = config(
        num_cpus=64, num_gpus=1, object_store_memory=1, include_dashboard=False, log_to_driver=True
    )
    own = joining.copy()
    assert join_cluster(joining, {"RAY_ADDRESS": "head:6379", "SANDBOX_URL": "http://a:1,http://b:1"})
    left = joining.ray_kwargs.ray_init
    assert set(left) == {"log_to_driver", "runtime_env"}
    assert left.runtime_env.env_vars == {"SANDBOX_URL": "http://a:1,http://b:1"}
    assert not join_cluster(own, {}) and own.ray_kwargs.ray_init.num_cpus == 64


def test_actors_elsewhere_get_the_runs_variables_and_neither_secrets_nor_this_machines_folders() -> None:
    told = {"VERL_PLATFORM": "cpu", "VERL_CODER_ROOT": "/r", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    kept = {
        "HF_TOKEN": "x",
        "VLLM_API_KEY": "x",
        "VERL_CODER_SOCKETS": "/tmp/x",
        "TMPDIR": "/x",
        "HOME": "/h",
    }
    assert actors_environment(told | kept) == told
    assert actors_environment({"TOKENIZERS_PARALLELISM": "false"}) == {"TOKENIZERS_PARALLELISM": "false"}


def test_what_the_user_gave_to_ray_stays() -> None:
    joining = config(runtime_env={"env_vars": {"OMP_NUM_THREADS": "7"}})
    join_cluster(joining, {"RAY_ADDRESS": "head:6379", "OMP_NUM_THREADS": "2"})
    assert joining.ray_kwargs.ray_init.runtime_env.env_vars.OMP_NUM_THREADS == "7"


def test_what_a_submitted_job_gives_its_actors_is_not_given_twice() -> None:
    job = json.dumps({"runtime_env": {"env_vars": {"HF_HOME": "/cache"}}})
    told = {"HF_HOME": "/cache", "HF_HUB_OFFLINE": "1", "RAY_JOB_CONFIG_JSON_ENV_VAR": job}
    assert actors_environment(told) == {"HF_HUB_OFFLINE": "1"}
