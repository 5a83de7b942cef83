"""The recipe's data files: their columns, and every row for its reward and its model."""

from pathlib import Path

from verl_coder.doctor.check import CheckResult, DoctorCheck, passed, warned
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.words import counted


def _files(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.files import check_parquet
    from verl_coder.launch.recipe import file_list

    not_yet = situation.not_made_yet
    files: set[Path] = set()
    to_come: list[Path] = []
    for name in ("train_files", "val_files"):
        paths = file_list(situation.config.data[name])
        missing = [path for path in paths if not_yet and not path.is_file()]
        if not missing or len(missing) < len(paths):
            check_parquet(f"data.{name}", [path for path in paths if path not in missing])
        files |= {*paths} - {*missing}
        to_come += missing
    if not files:
        raise NotHereError(f"{to_come[0]}: {not_yet}")
    words = f"{counted(len(files), 'file has', 'files have')} the columns of a row"
    return passed(words + (f"; {to_come[0]}: {not_yet}" if to_come else ""))


def _rows(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.reward import check_reward
    from verl_coder.launch.preflight.rows import check_rows, one_row_per_source

    sets = situation.data_sets
    situation.tokenizer  # noqa: B018  (skipped with the model's reason where there is none)
    grades = check_reward(situation.config, one_row_per_source(situation.data_files))
    found = check_rows(situation.config, tests_are_parsed=grades, sets=tuple(sets))
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
