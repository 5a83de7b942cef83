"""compose.yaml hangs together: what it names is there, its commands are ours, its variables are read by something."""

import re
from typing import Any

import pytest
from command_lines import parse
from dockerfile import COMPOSE_FILE, ROOT, compose, of

FILE = COMPOSE_FILE
COMPOSE = compose()
SERVICES: dict[str, Any] = COMPOSE["services"]
OF_OTHERS = {"HF_HOME", "HF_TOKEN", "WANDB_API_KEY", "WANDB_MODE", "CUDA_VISIBLE_DEVICES"}
"""Read by huggingface_hub, wandb and CUDA."""


def test_the_services_and_their_profiles() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {"sandbox": [], "trainer": [], "teacher": ["teacher"], "fusion": ["fusion"]}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source.startswith("..") or source in COMPOSE["volumes"]
    if build := service.get("build"):
        assert (FILE.parent / build["context"]).resolve() == ROOT.resolve()
        assert (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", ["trainer", "teacher"])
def test_a_services_variables_are_read_by_its_script_or_the_package(name: str) -> None:
    shell, script = (
        SERVICES[name].get("command") or of(ROOT / "docker" / "trainer.Dockerfile", "CMD")[0].words
    )
    assert shell == "bash"
    read = (ROOT / script).read_text() + "".join(
        path.read_text()
        for folder in ("src", "config")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".yaml")
    )
    for variable in set(SERVICES[name]["environment"]) - OF_OTHERS:
        assert re.search(rf"\b{variable}\b", read), variable


def test_the_trainer_has_what_it_takes_to_ask_the_teacher() -> None:
    """Address and key: the doctor asks with them, and `teacher generate` does."""
    trainer, teacher = SERVICES["trainer"]["environment"], SERVICES["teacher"]["environment"]
    assert trainer["TEACHER_API_KEY"] == teacher["TEACHER_API_KEY"] == "${TEACHER_API_KEY:-}"
    assert "TEACHER_URL" in trainer


def test_the_gpus_of_trainer_and_teacher_can_be_named() -> None:
    assert (
        SERVICES["trainer"]["environment"]["CUDA_VISIBLE_DEVICES"] is None
    )  # as here, and unset where it is unset
    assert SERVICES["teacher"]["environment"]["GPUS"] == "${TEACHER_GPUS:-}"


def test_the_trainer_waits_for_a_healthy_sandbox_at_the_port_that_it_listens_on() -> None:
    assert SERVICES["trainer"]["depends_on"]["sandbox"] == {"condition": "service_healthy"}
    # Fusion's profile is not always asked for: without it nobody waits.
    assert SERVICES["trainer"]["depends_on"]["fusion"] == {"condition": "service_healthy", "required": False}
    port = of(ROOT / "docker" / "sandbox.Dockerfile", "CMD")[0].words[-1]
    assert SERVICES["trainer"]["environment"]["SANDBOX_URL"] == f"${{SANDBOX_URL:-http://sandbox:{port}}}"


def test_the_teacher_sees_the_models_that_runs_have_made() -> None:
    assert SERVICES["teacher"]["volumes"] == SERVICES["trainer"]["volumes"]


def test_the_page_tells_the_defaults_that_are_not_the_scripts() -> None:
    page, given = (ROOT / "docker" / "README.md").read_text(), SERVICES["trainer"]["environment"]
    for name in ("OUT", "WANDB_MODE"):
        assert f"`{name}={given[name].partition(':-')[2].rstrip('}')}`" in page


def test_every_service_has_a_health_check() -> None:
    trainer = of(ROOT / "docker" / "trainer.Dockerfile", "HEALTHCHECK")
    assert (
        all(service.get("healthcheck") or name == "trainer" for name, service in SERVICES.items()) and trainer
    )


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_the_first_process_of_our_containers_is_an_init_that_hands_sigterm_on(name: str) -> None:
    assert SERVICES[name].get("init") is True


def test_the_sandboxes_reach_nothing_outside() -> None:
    for name in ("sandbox", "fusion"):
        assert SERVICES[name]["networks"] == ["inside"] and "ports" not in SERVICES[name]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_the_commands_of_its_first_comment_name_services_and_commands_that_are_there() -> None:
    comments = [
        line for line in FILE.read_text().splitlines() if line.startswith("#") and "docker compose" in line
    ]
    assert len(comments) == 5
    for line in comments:
        words = line.partition("   #")[0].lstrip("# ").split()
        assert words[words.index("-f") + 1] == "docker/compose.yaml"
        for profile in (words[i + 1] for i, word in enumerate(words) if word == "--profile"):
            assert any(profile in service.get("profiles", []) for service in SERVICES.values())
        if "run" in words:
            assert words[words.index("run") + 2] in SERVICES
            parse(words[words.index("verl-coder") + 1 :])
        else:
            assert set(words[words.index("--build") + 1 :]) <= set(SERVICES)
