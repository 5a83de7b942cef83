"""What a command that checks and starts runs does before it imports verl."""

from verl_coder.platform import put_off
from verl_coder.platform.environment import select_platform


def begin() -> None:
    """Choose the platform; nothing is compiled here, so what only compilers need stays away (put_off.py)."""
    select_platform()
    put_off.install()
