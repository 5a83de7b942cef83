"""What a plan adds to a recipe because of the machine it stands on, and of the model."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import LOGICAL_CPUS, TrainRequest, make_plan, missing_data, preparation
from verl_coder.paths import repository_root, work_root


def _cpus(tmp_path: Path, recipe: str, *overrides: str) -> int | None:
    plan = make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "out"), overrides=overrides))
    return plan.config.ray_kwargs.ray_init.get("num_cpus")


@pytest.mark.parametrize("recipe", ["tiny_cpu", "coder_0.5b_gpu"])
def test_a_small_machine_has_a_cpu_for_every_small_actor(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert _cpus(tmp_path, recipe) == LOGICAL_CPUS
    monkeypatch.setattr(os, "cpu_count", lambda: 192)
    assert _cpus(tmp_path, recipe) == 192


def test_a_number_that_was_given_stays(tmp_path: Path) -> None:
    assert _cpus(tmp_path, "tiny_cpu", "ray_kwargs.ray_init.num_cpus=24") == 24


def test_a_cluster_that_is_there_counts_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert _cpus(tmp_path, "coder_0.5b_gpu") is None


def test_a_weight_sync_has_room_for_the_models_largest_weight(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    rows, width = 151936, 896
    header = json.dumps(
        {"embedding": {"dtype": "BF16", "shape": [rows, width], "data_offsets": [0, 2 * rows * width]}}
    ).encode()
    with (model / "model.safetensors").open("wb") as file:  # sparse
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 2 * rows * width)
    request = TrainRequest(recipe="tiny_cpu", model=str(model), out=str(tmp_path / "out"))
    engine = make_plan(request).config.actor_rollout_ref.rollout.checkpoint_engine
    assert engine.update_weights_bucket_megabytes * 2**20 >= 151936 * 896 * 4
    small = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"))).config
    assert small.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes == 64


def test_a_recipe_makes_its_own_data_and_no_file_that_the_user_names(tmp_path: Path) -> None:
    own = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out")))
    named = make_plan(
        TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"), train=str(tmp_path / "x.parquet"))
    )
    if not all(Path(file).is_file() for file in own.config.data.train_files):
        assert preparation(own) == own.settings.prepare
    assert preparation(named) is None


def test_of_the_data_those_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"")
    files = {name: f"{tmp_path}/{name}.parquet" for name in ("train", "val")}
    plan = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"), **files))
    assert missing_data(plan) == [tmp_path / "val.parquet"]


@pytest.mark.parametrize(
    ("name", "is_made"), [("validation", True), ("train-00001-of-00002", True), ("nope", False)]
)
def test_of_the_files_that_a_user_names_the_start_makes_splits_alone(
    tmp_path: Path, name: str, is_made: bool
) -> None:
    """A misspelt one in the folder of the recipe's data is not waited for."""
    prepare = f"verl_coder.prepare='verl-coder data prepare mbpp --out {tmp_path}'"
    for given in (
        {"train": f"{tmp_path}/{name}.parquet", "val": f"{tmp_path}/validation.parquet"},
        {"overrides": tuple(f"data.{key}_files={tmp_path}/{name}.parquet" for key in ("train", "val"))},
    ):
        overrides = (prepare, *given.get("overrides", ()))
        knobs = {"recipe": "tiny_cpu", "out": str(tmp_path / "out"), **given, "overrides": overrides}
        plan = make_plan(TrainRequest(**knobs))
        assert bool(preparation(plan)) is is_made


def test_a_wrong_file_is_refused_before_verl_is_imported(tmp_path: Path) -> None:
    """Which takes half a minute on a busy machine."""
    (tmp_path / "text.parquet").write_text("no Parquet")
    program = "\n".join(
        (
            "import sys",
            "from verl_coder.errors import VerlCoderError",
            "from verl_coder.launch.plan import TrainRequest, make_plan",
            "for knob, value in (pair.split('=') for pair in sys.argv[2:]):",
            "    try: make_plan(TrainRequest(recipe='tiny_cpu', out=sys.argv[1], **{knob: value}), files_first=True)",
            "    except VerlCoderError as error: print(str(error))",
            "print([name for name in ('verl', 'torch', 'transformers', 'ray') if name in sys.modules])",
        )
    )
    given = ["train=text.parquet", "val=none.parquet", "reward=none.py", "tools=none.yaml", "model=./none"]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out"), *given],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    *told, imported = done.stdout.splitlines()
    words = ("not a Parquet file", "no file", "REWARD: ", "TOOLS: ", "MODEL: ")
    assert len(told) == len(words) and all(word in line for word, line in zip(words, told, strict=True))
    assert imported == "[]"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("verl_coder.seed=abc", "verl_coder.seed=abc: use a whole number"),
        ("verl_coder.seed=null", "verl_coder.seed=None: use a whole number"),
        ("verl_coder.seed=1.5", "verl_coder.seed=1.5: use a whole number"),
        ("data.seed=7", "data.seed=7: SEED= .* sets all seeds"),
    ],
)
def test_a_seed_that_is_none_or_would_not_count_is_named(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(override,)))


def test_the_recipes_seed_counts_where_no_other_is_given(tmp_path: Path) -> None:
    """And names the folder of the run, which would be that of another run else."""
    override = ("verl_coder.seed=7",)
    for given in (
        TrainRequest(recipe="tiny_cpu", overrides=override),
        TrainRequest(recipe="tiny_cpu", seed=7),
    ):
        plan = make_plan(given)
        assert (plan.settings.seed, plan.config.data.seed) == (7, 8)
        assert plan.run_dir.path.name == "tiny_cpu-seed7"
    make_plan(TrainRequest(recipe="tiny_cpu", seed=7, overrides=override))
    with pytest.raises(ConfigError, match=r"^verl_coder.seed=7, and SEED=0: two seeds"):
        make_plan(TrainRequest(recipe="tiny_cpu", seed=0, overrides=override))


@pytest.mark.parametrize(("name", "knob"), [("out", "OUT="), ("run_name", "OUT="), ("recipe", "RECIPE=")])
def test_what_the_launcher_fills_in_is_set_by_a_knob_alone(tmp_path: Path, name: str, knob: str) -> None:
    with pytest.raises(ConfigError, match=f"^verl_coder.{name}=mine: the launcher fills it in; use {knob}"):
        make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(f"verl_coder.{name}=mine",)))


@pytest.mark.parametrize("seed", [-1, 2**40])
def test_a_seed_that_no_library_takes_is_named(tmp_path: Path, seed: int) -> None:
    with pytest.raises(ConfigError, match=f"SEED={seed}: use a whole number in"):
        make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), seed=seed))


@pytest.mark.parametrize(
    "out", ["/", "/tmp/a\nb", "/tmp/a${b}", "/tmp/" + "x" * 300, "~no_such_user/x", str(repository_root())]
)
def test_an_out_that_is_no_folder_of_the_runs_own_is_named(out: str) -> None:
    with pytest.raises(ConfigError, match=r"^OUT=") as caught:
        make_plan(TrainRequest(recipe="tiny_cpu", out=out))
    assert "\n" not in str(caught.value)


def test_a_prepare_command_that_no_shell_reads_is_named(tmp_path: Path) -> None:
    request = TrainRequest(
        recipe="tiny_cpu", out=str(tmp_path), overrides=("verl_coder.prepare='python \"x'",)
    )
    with pytest.raises(ConfigError, match=r"verl_coder.prepare=.*No closing quotation"):
        preparation(make_plan(request))


def test_a_path_with_a_comma_is_one_file_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "a,b.parquet").touch()
    both = f"{tmp_path}/a,b.parquet,{tmp_path}/c.parquet"
    for given, files in (
        (f"{tmp_path}/a,b.parquet", ["a,b.parquet"]),
        (both, ["a", "b.parquet", "c.parquet"]),
    ):
        plan = make_plan(TrainRequest(recipe="tiny_cpu", train=given, out=str(tmp_path / "run")))
        assert [Path(path).name for path in plan.config.data.train_files] == files


@pytest.mark.parametrize("key", ["data.train_files", "reward.custom_reward_function.path"])
def test_a_setting_that_is_taken_away_and_needed_is_named(tmp_path: Path, key: str) -> None:
    request = TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(f"~{key}",))
    with pytest.raises(ConfigError, match=rf"recipe tiny_cpu: no setting {key}, .* leave ~{key} out"):
        make_plan(request, files_first=True)


def test_a_relative_checkout_is_one_of_the_folder_that_it_was_named_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths below it are compared with absolute ones."""
    (tmp_path / "own" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VERL_CODER_ROOT", "own")
    assert repository_root() == work_root() == tmp_path / "own"
