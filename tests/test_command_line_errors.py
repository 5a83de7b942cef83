"""A wrong command line is one line on stderr that names the nearest of what there is, and status 2."""

import subprocess
import sys

import pytest

from verl_coder.cli import app
from verl_coder.command_line_errors import explain, name_variables
from verl_coder.installation import HEAVY


def answer(*words: str) -> str:
    """What the command line is answered with, before anything is imported that it would run."""
    try:
        app(list(words), standalone_mode=False, prog_name="verl-coder")
    except Exception as error:
        return explain(error, words)
    raise AssertionError("the command line was taken")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("exprt", "verl-coder has no command exprt; did you mean export?"),
        ("wandb puhs", "verl-coder wandb has no command puhs; did you mean push?"),
        (
            "train --recipe tiny_cpu --dryrun",
            "verl-coder train has no option --dryrun; did you mean --dry-run?",
        ),
        (
            "train --recipe tiny_cpu --dry_run",
            "verl-coder train has no option --dry_run; did you mean --dry-run?",
        ),
        (
            "train --recipe tiny_cpu -dry-run",
            "verl-coder train has no option -dry-run; did you mean --dry-run?",
        ),
        (
            "train --recipe tiny_cpu trainer.x=1 --sed 3",
            "verl-coder train has no option --sed; did you mean --seed?",
        ),
        ("sft --modle m --traces t --out o", "verl-coder sft has no option --modle; did you mean --model?"),
        ("report outputs/x --wtch", "verl-coder report has no option --wtch; did you mean --watch?"),
        ("train", "Missing option '--recipe' (`verl-coder train --help` shows all)"),
        (
            "train --recipe tiny_cpu --qqq",
            "verl-coder train has no option --qqq; `verl-coder train --help` shows all",
        ),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(words: str, said: str) -> None:
    assert answer(*words.split()) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --recipe tiny_cpu --seed abc", "--seed abc: use a whole number (`verl-coder train"),
        ("sandbox serve --port=99999", "--port=99999: use a whole number in [0, 65535] ("),
        ("evaluate --model m --limit 0", "--limit 0: use a whole number of 1 or more ("),
        ("evaluate --model m --top-p much", "--top-p much: use a number in [0, 1] ("),
        ("evaluate --model m --protocol tol", "--protocol tol: did you mean tool? ("),
        ("data prepare mbpp --out o --protocol sesion", "--protocol sesion: did you mean session? ("),
        (
            "data prepare mbpp --out o --train-time-limit 0",
            "--train-time-limit 0: use a number of 0.001 or more (",
        ),
        (
            "data prepare mbpp --out o --train-time-limit nan",
            "--train-time-limit nan: use a number of 0.001 or ",
        ),
        (
            "data prepare mbpp --out o --train-time-limit 2s",
            "--train-time-limit 2s: use a number of 0.001 or ",
        ),
        ("data prepare mbpp --out o --language de", "--language de: choose one of en, zh ("),
    ],
)
def test_a_wrong_value_is_answered_with_what_the_option_takes(words: str, said: str) -> None:
    assert answer(*words.split()).startswith(said)


def test_a_value_that_a_variable_of_a_script_gave_is_named_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "abc")
    monkeypatch.setenv("VAL_SHARE", "7")
    assert answer("train", "--seed", "abc").startswith("SEED=abc (--seed): use a whole number")
    assert answer("train", "--seed", "1x").startswith("--seed 1x: ")
    words = ("sft", "--seed", "0", "--val-share", "7")
    assert (
        name_variables("--val-share is 7.0: use a share", words)
        == "VAL_SHARE= (--val-share) is 7.0: use a share"
    )
    assert name_variables("--seed is 0: no", words) == "--seed is 0: no"
    assert name_variables("no such thing: --val-share", words) == "no such thing: --val-share"


def test_it_is_one_line_and_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "verl_coder.cli", "train", "--recipe", "tiny_cpu", "--dryrun"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: verl-coder train has no option --dryrun; did you mean --dry-run?\n"


BASE_INSTALLATION = f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {sorted(HEAVY)}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, NotInstalled())
from verl_coder.cli import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        "train --recipe tiny_cpu --dry-run",
        "ablation run --recipe ablation --out OUT",
        "export OUT --out OUT2",
        "upgrade touches",
    ],
)
def test_without_verl_and_torch_a_command_says_in_one_line_what_to_install(
    words: str, tmp_path: object
) -> None:
    arguments = [word.replace("OUT", f"{tmp_path}/out") for word in words.split()]
    done = subprocess.run(
        [sys.executable, "-c", BASE_INSTALLATION, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "is not installed: bash run_scripts/run_tests.sh installs" in done.stderr or "export" in words


def test_an_override_is_refused_before_torch_is_imported() -> None:
    program = (
        "import sys\n"
        "from verl_coder.errors import ConfigError\n"
        "from verl_coder.launch.launch import start\n"
        "from verl_coder.launch.plan import TrainRequest, make_plan\n"
        "try: make_plan(TrainRequest(recipe='tiny_cpu', overrides=('mode=snyc',)))\n"
        "except ConfigError as error: print(error)\n"
        "print(sorted({'torch', 'ray', 'verl', 'vllm', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["tiny_cpu: no snyc in config/mode/; did you mean sync?", "[]"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sandbox serve --port 99999999", "--port 99999999: use a whole number in [0, 65535] ("),
        ("sandbox serve --port=no", "--port=no: use a whole number in ["),
    ],
)
def test_a_wrong_value_is_shown_as_it_was_written(words: str, said: str) -> None:
    assert answer(*words.split()).startswith(said)
