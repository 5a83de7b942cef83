"""What tests see when they look at the type of something of the solution."""

import types
from typing import Any

from verl_coder.grading.programs.earlier import names_for_tests
from verl_coder.grading.programs.identities import IDENTITY
from verl_coder.grading.programs.proxies import Remote, RemoteClass, RemoteEntry, RemoteObject, stand_in


class _Asked(type):
    """`type` of the tests: of a stand-in it is the solution's class."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return type(*args, **kwargs) if kwargs or len(args) != 1 else type_of(args[0])

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, (type, RemoteClass))


class TypeForTests(metaclass=_Asked):
    """Stands in the tests in the place of `type` where they use it."""


def type_of(value: Any) -> Any:
    """The type of a value; of a stand-in, the stand-in of its class."""
    remote = stand_in(value)
    if isinstance(remote, RemoteObject):
        return types.FunctionType if remote._judge_class_name == "function" else class_of(remote)
    if isinstance(remote, RemoteEntry) and not isinstance(remote, RemoteClass):
        return types.FunctionType
    if isinstance(remote, Remote):
        return type
    return getattr(type(value), "_judge_stands_for", type(value))


def class_of(remote: RemoteObject) -> Any:
    """The stand-in of the class of an object."""
    return remote._judge_candidate.class_of(remote._judge_kind, remote._judge_class_name)


def is_the_same(left: Any, right: Any) -> bool:
    """`left is right`, of the objects that two stand-ins stand for."""
    one, other = stand_in(left), stand_in(right)
    if one is None or other is None:
        return left is right
    mine, yours = ((remote._judge_generation, remote._judge_number) for remote in (one, other))
    return mine == yours


def given_names(*, asks_types: bool) -> dict[str, Any]:
    """Names that the tests find beside their own."""
    return {IDENTITY: is_the_same, **names_for_tests(), **({"type": TypeForTests} if asks_types else {})}
