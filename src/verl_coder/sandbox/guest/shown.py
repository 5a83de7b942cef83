"""How much sessions and debuggers say of a program; the settings of tools allow no more (tools/execution.py)."""

TRACEBACK_FRAMES = 50
"""The innermost ones, of at least a line each."""
VALUE_CHARS = 100_000
"""Of the repr of an expression, which is cut in its middle."""
WINDOW_LINES = 20
"""Of source, above and below the place where a program stands."""
