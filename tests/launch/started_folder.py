"""A checkpoint in a folder of a run, without a run."""

from verl_coder.run.checkpoint_files import SAVING, commit, step_folder
from verl_coder.run.run_dir import RunDir


def checkpoint(run_dir: RunDir, step: int) -> None:
    """That of `step`, whole and named."""
    folder = step_folder(run_dir.checkpoints / SAVING, step)
    folder.mkdir(parents=True)
    (folder / "data.pt").write_bytes(b"x")
    commit(run_dir.checkpoints, step)
