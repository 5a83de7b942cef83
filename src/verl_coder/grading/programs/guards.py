"""What is empty equals nothing that is not: NumPy's and pytest's comparisons say otherwise, for `all([])` is true."""

import contextlib
import functools
import sys
from typing import Any

_PAIRS = ("allclose", "isclose", "array_equiv", "equal")
_TESTING = (
    "assert_allclose", "assert_almost_equal", "assert_approx_equal", "assert_array_almost_equal", "assert_array_equal",
    "assert_equal", "assert_array_almost_equal_nulp", "assert_array_max_ulp",
)  # fmt: skip
_MAKERS = ("array", "asarray", "asanyarray", "ascontiguousarray")
_WORDS = "an array without elements is compared with one that has some"


def guarded_array(value: Any) -> Any:
    """The array itself; one without elements as one that cannot be compared with anything that has some."""
    if value.size:
        return value
    import numpy

    kind = guard_numpy(numpy)
    return value if kind.asleep else value.view(kind)


class _NoElements:
    """Has it met something with elements, it may not say that all of it is so, or add up to nothing."""

    _numpy: Any
    _judge_stands_for: Any
    """What the tests' `type` says of it."""
    met = False
    asleep = False
    """While NumPy compares two sides that were looked at."""

    def __array_finalize__(self, source: Any) -> None:
        self.met = getattr(source, "met", False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        numpy = self._numpy
        met = any(getattr(item, "met", False) for item in inputs)
        if method == "__call__" and ufunc.nin == 2:
            met = met or _has_elements(numpy, inputs)
        elif method == "reduce" and met:
            raise AssertionError(_WORDS)
        # NumPy's own methods, and `+=`, write into an array that they are given.
        out: Any = kwargs.get("out") or ()
        if out:
            kwargs["out"] = tuple(_plain(numpy, item) for item in out)
        result = getattr(ufunc, method)(*(_plain(numpy, item) for item in inputs), **kwargs)
        if len(out) == 1 and isinstance(out[0], _NoElements):
            out[0].met = met
            return out[0]
        if isinstance(result, numpy.ndarray) and result.size == 0:
            result = result.view(numpy._no_elements)
            result.met = met
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        numpy = self._numpy
        if self.met and function not in (numpy.size, numpy.shape, numpy.ndim):
            raise AssertionError(_WORDS)
        return numpy.ndarray.__array_function__(self, function, types, args, kwargs)

    def __iter__(self) -> Any:
        return iter(self._unmet())

    def __bool__(self) -> bool:
        return bool(self._unmet())

    def __repr__(self) -> str:
        return repr(_plain(self._numpy, self))

    def _unmet(self) -> Any:
        if self.met:
            raise AssertionError(_WORDS)
        return _plain(self._numpy, self)

    # NumPy subtracts a mean there, which is none of the tests' numbers.

    def var(self, *args: Any, **kwargs: Any) -> Any:
        return self._unmet().var(*args, **kwargs)

    def std(self, *args: Any, **kwargs: Any) -> Any:
        return self._unmet().std(*args, **kwargs)


def guard_numpy(numpy: Any) -> Any:
    """Make NumPy's comparisons refuse an empty side beside one that is not; the class of empty arrays."""
    if (known := getattr(numpy, "_no_elements", None)) is not None:
        return known
    # Whoever asks for its name (the encoder, the comparison of JSON) finds an array.
    names = {"__module__": "numpy", "_numpy": numpy, "_judge_stands_for": numpy.ndarray}
    numpy._no_elements = type("ndarray", (_NoElements, numpy.ndarray), names)
    for module, compared in ((numpy, _PAIRS), (numpy.testing, _TESTING)):
        for name in compared:
            if isinstance(getattr(module, name, None), numpy.ufunc):
                continue
            setattr(module, name, _guarded(numpy, getattr(module, name)))
    for name in _MAKERS:
        setattr(numpy, name, _made_with_guard(getattr(numpy, name)))
    return numpy._no_elements


def _guarded(numpy: Any, compare: Any) -> Any:
    @functools.wraps(compare)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        named = [kwargs[name] for name in ("a", "b", "actual", "desired", "x", "y") if name in kwargs]
        _refuse_empty(numpy, *[*args, *named][:2])
        # Two sides without elements may be compared as NumPy does it.
        plain = {name: _plain(numpy, value) for name, value in kwargs.items()}
        kind = numpy._no_elements
        before, kind.asleep = kind.asleep, True
        try:
            return compare(*(_plain(numpy, value) for value in args), **plain)
        finally:
            kind.asleep = before

    return guarded


def _made_with_guard(make: Any) -> Any:
    @functools.wraps(make)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        value = make(*args, **kwargs)
        return guarded_array(value) if type(value).__name__ == "ndarray" else value

    return guarded


def _plain(numpy: Any, value: Any) -> Any:
    return value.view(numpy.ndarray) if isinstance(value, numpy._no_elements) else value


def _refuse_empty(numpy: Any, *sides: Any) -> None:
    if _has_elements(numpy, sides):
        raise AssertionError(_WORDS)


def _has_elements(numpy: Any, sides: Any) -> bool:
    """Whether one side of two has elements and the other none; an object of the solution's own is not asked."""
    from verl_coder.grading.programs.proxies import Remote

    for side in sides:
        if isinstance(side, Remote):
            raise side._judge_alive().refused("an object of the solution's own is compared by NumPy")
    sizes = [numpy.size(side) for side in sides]
    return len(sizes) == 2 and (sizes[0] == 0) != (sizes[1] == 0)


@functools.cache
def guard_pytest() -> None:
    """`_guard_approx` where pytest is, once a process."""
    with contextlib.suppress(ImportError):
        import pytest

        _guard_approx(type(pytest.approx(1.0)))


def _guard_approx(kind: Any) -> None:
    """Make `pytest.approx`, on either side, refuse an array without elements; `kind` is that of a number."""
    compare = kind.__eq__

    def guarded(self: Any, actual: Any) -> bool:
        if getattr(actual, "size", 1) == 0:
            return False
        return bool(compare(self, actual))

    kind.__eq__ = guarded
    of_arrays = getattr(sys.modules[kind.__module__], "ApproxNumpy", None)
    if of_arrays is not None:
        compare_arrays = of_arrays.__eq__

        def guarded_arrays(self: Any, actual: Any) -> bool:
            if self.expected.size == 0 and not _is_empty(actual):
                return False
            return bool(compare_arrays(self, actual))

        of_arrays.__eq__ = guarded_arrays


def _is_empty(value: Any) -> bool:
    """Whether a list or array, of the judge's own, holds nothing."""
    if type(value).__module__ == "numpy":
        return bool(value.size == 0)
    return type(value) in (list, tuple) and not value
