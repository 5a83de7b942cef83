"""Grading: code and a test suite in, a verdict out, computed where the solution's code never ran."""

from verl_coder.grading.grader import grade
from verl_coder.grading.report import TestReport, TestResult

__all__ = ["TestReport", "TestResult", "grade"]
