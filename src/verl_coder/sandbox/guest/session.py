"""A persistent interpreter: variables live on from one run to the next."""

import ast
import linecache
import os
import sys
from typing import Any

from verl_coder.sandbox.guest import program
from verl_coder.sandbox.guest.channel import Channel, describe_exception, short
from verl_coder.sandbox.guest.shown import VALUE_CHARS
from verl_coder.sandbox.guest.signals import SignalGate

_HTML_CHARS = 200_000
_COROUTINE = 0x80
"""Flag of code that awaits."""
_CANCEL_S = 1.0


class Interpreter:
    """Runs pieces of code in one `__main__`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._gate = SignalGate()
        self._count = 0
        self._display: list[dict[str, str]] = []
        self._loop: Any = None
        self._module = program.new_main_module(os.path.join(os.getcwd(), "main.py"))
        self._module.__dict__["display"] = self._show

    def _show(self, *values: object) -> None:
        self._display.extend(mime_bundle(value) for value in values)

    def serve(self) -> None:
        """Serve until the channel closes."""
        self._gate.stand()
        while (command := self._channel.next_command()) is not None:
            self._display.clear()
            try:
                self._channel.busy = True
                self._deliver_signals()
                answer = self._run(command["code"])
                self._gate.shut = True
            except BaseException as error:
                self._gate.shut = True
                self._channel.busy = False
                answer = {"error": describe_exception(error, None)}
            self._channel.busy = False
            self._channel.reply({**answer, "display": self._display})

    def _deliver_signals(self) -> None:
        """Those that came between two commands: what a handler raises is told, as at a prompt, and ends no code."""
        try:
            self._gate.open()
        except Exception as error:
            sys.stderr.write("".join(describe_exception(error, None)["traceback"]))

    def _run(self, code: str) -> dict[str, Any]:
        self._count += 1
        name = f"<run {self._count}>"
        linecache.cache[name] = (len(code), None, [line + "\n" for line in code.split("\n")], name)
        try:
            tree = ast.parse(code, name)
            last = tree.body[-1] if tree.body else None
            if isinstance(last, ast.Expr):
                tree.body.pop()
            self._evaluate(tree, name, "exec")
            if not isinstance(last, ast.Expr):
                return {"result": None}
            expression = ast.Expression(last.value)
            value = self._evaluate(expression, name, "eval")
            if value is None:
                return {"result": None}
            self._module.__dict__["_"] = value
            bundle = mime_bundle(value)
            self._display.append(bundle)
            return {"result": bundle["text/plain"]}
        except BaseException as error:
            self._gate.shut = True
            self._channel.busy = False
            return {"error": describe_exception(error, name)}

    def _evaluate(self, tree: ast.Module | ast.Expression, name: str, mode: str) -> Any:
        """The value of code, which may `await` at its top level: what it waits for lives on in one loop."""
        code = compile(tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        value = eval(code, self._module.__dict__)
        if not code.co_flags & _COROUTINE:
            return value
        import asyncio  # seldom needed, and not cheap

        self._loop = self._loop or asyncio.new_event_loop()
        task = self._loop.create_task(value)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if task.cancel():  # interrupted: a later `await` must not go on with it
                self._loop.run_until_complete(asyncio.wait([task], timeout=_CANCEL_S))


def mime_bundle(value: object) -> dict[str, str]:
    """The value as Jupyter shows it: text, and HTML where it has some."""
    bundle = {"text/plain": short(repr(value), VALUE_CHARS)}
    html = getattr(type(value), "_repr_html_", None)
    if html is not None:
        try:
            text = html(value)
        except Exception:
            text = None
        if isinstance(text, str):
            bundle["text/html"] = short(text, _HTML_CHARS)
    return bundle
