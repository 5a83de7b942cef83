"""The project's own errors, one per boundary.

The command line turns every `VerlCoderError` into one line and a non-zero exit status, so a message names
the place, the value and the fix. What a model should read is text, never one of these.
"""

import errno


class VerlCoderError(Exception):
    """Root of every error that the project raises on purpose."""


class ConfigError(VerlCoderError):
    """A recipe, a YAML, an environment variable or a command-line value is wrong."""


class DataError(VerlCoderError):
    """A dataset row, file or column is not what the schema says."""


class FileWriteError(VerlCoderError, OSError):
    """A file or folder cannot be written; what was there before is as it was. Made of errno, words and the path."""

    def __str__(self) -> str:
        return f"{self.filename} cannot be written ({self.strerror}): {_FIXES.get(self.errno or 0, _OTHER_PLACE)}"


_OTHER_PLACE = "name another place"
_FIXES = {
    errno.ENOSPC: "make room on the disk, and give the same command again",
    errno.EDQUOT: "make room on the disk, and give the same command again",
    errno.EISDIR: "a folder stands there: remove it, or name another place",
    errno.EEXIST: "a file stands where a folder is needed: name another place",
    errno.ENOTDIR: "a file stands where a folder is needed: name another place",
    errno.EACCES: "name a place that you may write to",
    errno.EPERM: "name a place that you may write to",
    errno.EROFS: "name a place that you may write to",
}


class SandboxUnavailableError(VerlCoderError):
    """The sandbox service gave no answer: neither the program's failure nor a wrong answer."""


class SandboxFullError(SandboxUnavailableError):
    """Every server has as many sessions as it takes; there is room when one of them ends."""


class CheckpointError(VerlCoderError):
    """A checkpoint is missing, half-written or of another shape."""


class RewardError(VerlCoderError):
    """A reward function returned no finite score, or failed for too many samples."""


class TrackingError(VerlCoderError):
    """A metrics service gave no answer: it never stops training, only a command that asks for the upload."""


class TeacherError(VerlCoderError):
    """The teacher's server is not there, refuses the key, or has another model; what it answered is on disk."""


class EngineError(VerlCoderError):
    """The engine or endpoint that writes a model's turns failed: nothing is known of the answer."""


class BrokenAnswerError(EngineError):
    """A server broke an answer off, or sent what is none: worth another attempt, and never a wrong answer."""


class RolloutsLostError(VerlCoderError):
    """No trajectory came back: a process of the rollout has died, as a failed rollout comes back as a failed one."""
