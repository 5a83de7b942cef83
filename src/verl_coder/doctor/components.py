"""The parts that `verl-coder doctor` looks at."""

from typing import Literal, get_args

Component = Literal[
    "machine",
    "recipe",
    "places",
    "data",
    "sandbox",
    "grader",
    "model",
    "stages",
    "teacher",
    "services",
    "sync",
]
COMPONENTS: tuple[str, ...] = get_args(Component)
"""The parts of the report, in its order."""
