"""A Ray that starts slowly is waited for, and one that does not start is told with the cure."""

from pathlib import Path

import pytest

from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.ray_start import patient
from verl_coder.launch.supervise import reason_in_log
from verl_coder.launch.surroundings import worker_environment


def test_a_node_that_registers_late_is_waited_for() -> None:
    answers = [RuntimeError("no node info"), RuntimeError("no node info"), {"labels": {}}]

    def get_node(address: str, node: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return (address, node, answer)

    assert patient(get_node, limit_s=0.2)("gcs", "n") == ("gcs", "n", {"labels": {}})


def test_one_that_never_does_is_one_line_in_the_runs_own_words(tmp_path: Path) -> None:
    def get_node() -> None:
        raise RuntimeError("no node info\nmore")

    with pytest.raises(TimeoutError) as raised:
        patient(get_node, limit_s=0.01)()
    (tmp_path / "log").write_text(f"TimeoutError: {raised.value}\n")
    assert reason_in_log(tmp_path / "log") == (
        "TimeoutError: Ray has not started within 0.01 s (no node info): end what else runs on this machine, and "
        "start the same command again"
    )


def test_ray_names_the_function_that_is_waited_for() -> None:
    from ray._private import node, services

    source = Path(node.__file__).read_text()
    assert callable(services.get_node) and "ray._private.services.get_node(" in source


def test_rays_own_limits_are_longer_and_the_users_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "7")
    plan = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "run")))
    environment = worker_environment(plan)
    assert environment["RAY_worker_register_timeout_seconds"] == "7"
    assert int(environment["RAY_gcs_server_port_wait_time_s"]) > 30
