"""Grading: code and a test suite in, a verdict out, computed where the solution's code never ran."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl_coder.grading.answers import answer_code
    from verl_coder.grading.grader import grade
    from verl_coder.grading.report import TestReport, TestResult

__all__ = ["TestReport", "TestResult", "answer_code", "grade"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the sandbox's server reads the programs of this package and needs nothing else of it.
    if name == "answer_code":
        from verl_coder.grading import answers

        return answers.answer_code
    if name == "grade":
        from verl_coder.grading import grader

        return grader.grade
    if name in __all__:
        from verl_coder.grading import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
