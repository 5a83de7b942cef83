"""What a debugger shows of values."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from verl_coder.sandbox.guest.debugger_view import bounded_repr

Debug = Callable[[str], Awaitable[Any]]


@pytest.mark.parametrize("name", ["deque", "array", "dict", "list", "int", "str"])
def test_a_class_that_is_called_as_a_builtin_one_is_shown_by_its_own_repr(name: str) -> None:
    named = type(name, (), {"__repr__": lambda self: "mine", "__module__": "__main__"})
    assert bounded_repr(named()) == "mine" and bounded_repr([named()]) == "[mine]"


def test_a_number_of_more_digits_than_python_writes_is_shown_by_its_size() -> None:
    assert bounded_repr(1 << 99_999) == "<int of 100000 bits>"


async def test_a_global_name_that_is_no_text_is_passed_over(debug: Debug) -> None:
    program = await debug("x = 1\nglobals()[1] = 2\ny = 3\n")
    await program("break", line=3)
    state = (await program("run"))["state"]
    assert (state["event"], state["locals"]) == ("breakpoint", {"x": "1"})
    assert await program.stops("next", "next") == [("return", 3), ("exited", None)]


async def test_a_name_that_cannot_be_looked_at_ends_nothing(debug: Debug) -> None:
    name = "class Name(str):\n    def startswith(self, *prefix):\n        raise ValueError\n"
    program = await debug(f"{name}globals()[Name('z')] = 2\ny = 3\n")
    await program("break", line=5)
    answer = await program("run")
    assert (answer["state"]["event"], answer["state"]["line"]) == ("breakpoint", 5)
    assert list(answer["state"]["locals"]) == ["..."]
    assert (await program("continue"))["state"]["event"] == "exited"
