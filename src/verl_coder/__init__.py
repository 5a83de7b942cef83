"""verl-coder: reinforcement learning of tool-using programmers on verl."""

__version__ = "0.1.0"
