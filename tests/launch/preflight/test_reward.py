"""A reward file that verl could not use is refused in one line with the file and the line."""

# ruff: noqa: E501 - tables of cases

import pytest
from omegaconf import OmegaConf

from verl_coder import rewards
from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.reward import check_reward, check_reward_file

HEAD = "async def compute_score(data_source, solution_str, ground_truth, extra_info, **kwargs):\n"
GOOD = '    return {"score": 1.0, "acc": 1.0, "sandbox_unavailable": 0.0}\n'

BAD = {
    "syntax error": ("x = 1\n" + HEAD + "    return {\n", 3, "never closed"),
    "missing function": ("def reward():\n    pass\n", 2, "defines no function 'compute_score'"),
    "missing argument": (
        "def compute_score(solution_str):\n    return 1\n",
        1,
        "lacks the argument 'data_source'",
    ),
    "import error": ("import no_such_module_anywhere\n" + HEAD + GOOD, 1, "no_such_module_anywhere"),
    "raises": (HEAD + '    return {"score": 1.0}[solution_str]\n', 2, "KeyError"),
    "bare number": (HEAD + "    return 1.0\n", 2, "bare number"),
    "no acc": (HEAD + '    return {"score": 1.0, "sandbox_unavailable": 0.0}\n', 2, "'acc'"),
    "score is text": (HEAD + GOOD.replace('"score": 1.0', '"score": "1"'), 2, "must be a finite number"),
    "acc is text": (
        HEAD + GOOD.replace('"acc": 1.0', '"acc": "yes"'),
        2,
        "acc is 'yes' for an empty completion",
    ),
    "acc is null": (HEAD + GOOD.replace('"acc": 1.0', '"acc": None'), 2, "acc is None"),
    "score is beyond the floats": (HEAD + GOOD.replace("1.0", "10**400", 1), 2, "must be a finite number"),
    "a metric is a list": (
        HEAD + GOOD.replace("}", ', "x": [1, 2]}'),
        2,
        "x is [1, 2] for an empty completion",
    ),
    "a metric is null": (HEAD + GOOD.replace("}", ', "x": None}'), 2, "must be a number or a text"),
    "a key is a number": (HEAD + GOOD.replace("}", ", 5: 1.0}"), 2, "has the key 5; a key must be a text"),
    "keys change when empty": (
        HEAD
        + '    if not solution_str:\n        return {"score": 0, "acc": 0, "sandbox_unavailable": 0, "empty": 1}\n'
        + GOOD,
        4,
        "'empty' is returned for an empty completion",
    ),
    "keys change when passed": (
        "from verl_coder.rewards import grade_answer\n"
        + HEAD
        + "    report = await grade_answer(solution_str, ground_truth)\n"
        + '    if report.outcome == "passed":\n        return {"score": 1, "acc": 1, "sandbox_unavailable": 0, "bonus": 1}\n'
        + GOOD,
        5,
        "'bonus' is returned for a passing completion",
    ),
    "keys change when the sandbox is dead": (
        "from verl_coder.rewards import grade_answer\n"
        + HEAD
        + "    report = await grade_answer(solution_str, ground_truth)\n"
        + '    if report.outcome == "sandbox_unavailable":\n'
        + '        return {"score": 0, "acc": 0, "sandbox_unavailable": 1, "why": 1}\n'
        + GOOD,
        5,
        "a dead sandbox",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_refused_with_file_and_line(what, tmp_path):
    source, line, words = BAD[what]
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(ConfigError) as caught:
        check_reward_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert words in message
    assert "\n" not in message


OWN = HEAD.replace("**kwargs", "*, weight=1.0, **kwargs")


def test_a_runs_parameters_reach_the_function(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN + "    assert weight == 0.5, weight\n" + GOOD)
    check_reward_file(path, parameters={"weight": 0.5})
    with pytest.raises(ConfigError, match=f"{path}:2: AssertionError: 1.0"):
        check_reward_file(path)


@pytest.mark.parametrize("head", [OWN, HEAD])
@pytest.mark.parametrize("name", ["wieght", "solution_str"])
def test_a_parameter_that_the_function_does_not_have_is_named(tmp_path, head, name):
    path = tmp_path / "mine.py"
    path.write_text(head + GOOD)
    with pytest.raises(
        ConfigError, match=f"reward_kwargs.{name}: {path}:1: compute_score has no such parameter"
    ):
        check_reward_file(path, parameters={name: 1})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        check_reward_file(tmp_path / "gone.py")


@pytest.mark.parametrize("head", [HEAD, HEAD.removeprefix("async ")])
def test_a_good_file_passes_sync_or_async_under_any_name(head, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text((head + GOOD).replace("compute_score", "my_score"))
    check_reward_file(path, "my_score")


@pytest.mark.parametrize("value", ["True", "np.float32(1)", "np.int64(1)"])
def test_numbers_of_every_kind_pass_and_texts_beside_them(value, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n" + HEAD + GOOD.replace("1.0", value, 1).replace("}", ', "why": "no"}')
    )
    check_reward_file(path)


def test_the_file_may_name_the_grader_by_its_module(tmp_path):
    path = tmp_path / "mine.py"
    body = '    acc = float(report.outcome == "passed")\n    return {"score": acc, "acc": acc, "sandbox_unavailable": 0.0}\n'
    call = "    report = await rewards.grade_answer(solution_str, ground_truth)\n"
    path.write_text("from verl_coder import rewards\n" + HEAD + call + body)
    check_reward_file(path)


def test_a_run_after_the_check_asks_the_real_grader(tmp_path):
    before = rewards.grade_answer
    for what in ("raises", "no acc"):
        (tmp_path / "mine.py").write_text(BAD[what][0])
        with pytest.raises(ConfigError):
            check_reward_file(tmp_path / "mine.py")
        assert rewards.grade_answer is before


GRADED = (
    "from verl_coder.rewards import grade_answer, scored\n"
    + HEAD
    + "    report = await grade_answer(solution_str, ground_truth)\n"
    + "    return scored(report, {})\n"
)
ROW = {
    "data_source": "mine",
    "reward_model": {"ground_truth": "{}"},
    "extra_info": {"difficulty": "hard", "problem_id": "mine/1"},
}


@pytest.mark.parametrize(
    "term",
    [
        "1.0 if extra_info['difficulty'] == 'hard' else 0.5",
        "1.0 + 0 * extra_info['tool_calls']",
        "{'mine': 1.0, 'sample': 0.5}[data_source]",
    ],
)
def test_a_reward_is_given_what_a_run_gives_it(term, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GRADED.format(term))
    assert check_reward_file(path, rows=[ROW])


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("{'sample': 1.0}[data_source]", "KeyError: 'mine' (data_source 'mine')"),
        ("extra_info['tool_call']", "KeyError: 'tool_call'"),
        ("float('nan') if report.outcome == 'timeout' else 1.0", "score is nan for a time-out"),
        ("1.0 / extra_info['tool_calls']", "ZeroDivisionError"),
    ],
)
def test_what_fails_in_a_run_fails_in_the_check(term, words, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GRADED.format(term))
    with pytest.raises(ConfigError) as caught:
        check_reward_file(path, rows=[ROW])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "end", ["import sys\nsys.exit()", "import os\nos._exit(0)", "from os import _exit\n_exit(0)"]
)
def test_a_file_that_ends_the_process_is_named(tmp_path, end):
    path = tmp_path / "mine.py"
    path.write_text(f"{end}\n" + HEAD + GOOD)
    with pytest.raises(ConfigError, match=r"mine\.py:2: it ends the process when it is imported"):
        check_reward_file(path)


def test_a_reward_that_grades_is_told_from_one_that_does_not(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + GOOD)
    assert not check_reward_file(path)


def config_of(path, *, judges=False, metric=None, **more):
    function = {"path": str(path), "name": "compute_score", **more}
    groups = {"enable": metric is not None, "metric": metric}
    return OmegaConf.create(
        {
            "reward": {"custom_reward_function": function, "reward_model": {"enable": judges}},
            "algorithm": {"filter_groups": groups},
        }
    )


def test_parameters_that_are_no_mapping_are_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN + GOOD)
    check_reward(config_of(path, reward_kwargs={"weight": 2}))
    for given in (None, 3):
        with pytest.raises(ConfigError, match=f"reward_kwargs={given}: use a mapping"):
            check_reward(config_of(path, reward_kwargs=given))


def test_a_variable_that_was_a_parameter_once_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(OWN.replace("weight=1.0", "exponent: float = 2") + GOOD)
    monkeypatch.setenv("REWARD_CONCISE_CHARACTERS", "1")
    check_reward(config_of(path))
    monkeypatch.setenv("REWARD_EXPONENT", "1")
    with pytest.raises(
        ConfigError, match=r"REWARD_EXPONENT is not read any more: unset it, and set \+reward.*exponent="
    ):
        check_reward(config_of(path))


def test_the_metric_of_the_group_filter_is_a_key_of_the_reward(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + GOOD)
    for metric in (None, "acc", "reward"):
        check_reward(config_of(path, metric=metric))
    with pytest.raises(ConfigError, match=r"filter_groups\.metric=accc: did you mean acc\? \(of "):
        check_reward(config_of(path, metric="accc"))


def test_a_model_that_judges_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^reward\.reward_model\.enable=true: no run here"):
        check_reward(config_of(tmp_path / "mine.py", judges=True))
