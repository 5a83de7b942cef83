"""The recipe's data files: their columns, and every row for its reward and its model."""

from verl_coder.doctor.check import CheckResult, DoctorCheck, passed, warned
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.words import counted


def _files(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.data import check_parquet

    files = situation.data_files
    check_parquet("data.train_files, data.val_files", files)
    return passed(f"{counted(len(files), 'file has', 'files have')} the columns of a row")


def _rows(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.reward import check_reward_file
    from verl_coder.launch.preflight.rows import check_rows, one_row_per_source

    files = [file for file in situation.data_files if file.is_file()]
    if not files:
        raise NotHereError("not looked at: the files are not there")
    situation.tokenizer  # noqa: B018  (skipped with the model's reason where there is none)
    reward = situation.config.reward.custom_reward_function
    grades = check_reward_file(reward.path, reward.name, one_row_per_source(files))
    found = check_rows(situation.config, tests_are_parsed=grades)
    few = [lengths for lengths in found.values() if 2 * lengths.kept < len(lengths.tokens)]
    words = "; ".join(f"{lengths.place} {lengths.describe()}" for lengths in found.values())
    return warned(f"{words}: most are left out", few[0].cure()) if few else passed(words)


CHECKS = (
    DoctorCheck(
        name="data-files", component="data", look=_files, fix="verl-coder data prepare, or TRAIN= and VAL="
    ),
    DoctorCheck(
        name="data-rows", component="data", look=_rows, fix="mend or drop the rows, or set the lengths"
    ),
)
