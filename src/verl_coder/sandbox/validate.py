"""Request bodies: JSON object -> checked values; every refusal names its field (HTTP 422)."""

import base64
import binascii
import json
import math
from typing import Any

LANGUAGES = ("python", "pytest", "bash")
_REQUIRED = object()
MAX_TIMEOUT_S = 3600.0
MAX_MEMORY_MB = 1 << 22


class InvalidRequest(Exception):
    """A field is missing or wrong; `body` is the JSON of the 422 answer, in FastAPI's form."""

    def __init__(self, field: str, message: str, value: Any = None) -> None:
        super().__init__(f"{field}: {message}")
        location = ["body", *field.split(".")] if field else ["body"]
        self.body = {
            "detail": [{"type": "value_error", "loc": location, "msg": message, "input": _short(value)}]
        }


class BadBase64(Exception):
    """A file's content is not base64: HTTP 200 with SandboxError, as SandboxFusion answers."""


def _short(value: Any) -> Any:
    return value if isinstance(value, int | float | bool | None) else repr(value)[:100]


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        value = json.loads(body or b"null")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest("", "must be a JSON object", value)
    return value


def text(value: dict[str, Any], field: str, default: Any = _REQUIRED, *, where: str = "") -> Any:
    """A string field; None only where it is the default."""
    found = value.get(field, default)
    if found is _REQUIRED:
        raise InvalidRequest(where + field, "field required")
    if not isinstance(found, str) and not (found is None and default is None):
        raise InvalidRequest(where + field, "must be a string", found)
    return found


def seconds(value: dict[str, Any], field: str, default: float, *, zero: bool = False) -> float:
    """A positive number of seconds (0 where it means no limit of its own)."""
    found = value.get(field, default)
    good = isinstance(found, int) or (isinstance(found, float) and math.isfinite(found))
    good = good and not isinstance(found, bool)
    if not good or found < 0 or (found == 0 and not zero):
        raise InvalidRequest(field, "must be a positive number of seconds", found)
    if found > MAX_TIMEOUT_S:
        raise InvalidRequest(field, f"must be at most {MAX_TIMEOUT_S:g} seconds", found)
    return float(found)


def whole(value: dict[str, Any], field: str, default: int) -> int:
    """An integer field."""
    found = value.get(field, default)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool):
        raise InvalidRequest(field, "must be an integer", found)
    return found


def memory_mb(value: dict[str, Any]) -> int:
    """The memory limit; what is not positive means the server's own."""
    found = whole(value, "memory_limit_MB", -1)
    if found > MAX_MEMORY_MB:
        raise InvalidRequest("memory_limit_MB", f"must be at most {MAX_MEMORY_MB}", found)
    return found


def language(value: dict[str, Any]) -> str:
    """The language field."""
    found = text(value, "language")
    if found not in LANGUAGES:
        raise InvalidRequest("language", f"must be one of {', '.join(LANGUAGES)}", found)
    return found


def files(value: dict[str, Any], *, where: str = "") -> dict[str, bytes]:
    """The files field: relative path -> content; null contents are skipped. BadBase64 for bad content."""
    found = value.get("files")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest(where + "files", "must be an object of path -> base64", found)
    decoded: dict[str, bytes] = {}
    for path, content in found.items():
        check_path(path, where + "files")
        if content is None:
            continue
        if not isinstance(content, str):
            raise InvalidRequest(
                where + "files", f"content of {path!r} must be a base64 string or null", content
            )
        try:
            decoded[path] = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadBase64(f"files: {path}: {error}") from error
    return decoded


def paths(value: dict[str, Any], field: str) -> list[str]:
    """A list of relative paths."""
    found = value.get(field)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidRequest(field, "must be a list of paths", found)
    for path in found:
        check_path(path, field)
    return found


def strings(value: dict[str, Any], field: str) -> list[str]:
    """A required list of strings."""
    found = value.get(field, _REQUIRED)
    if found is _REQUIRED:
        raise InvalidRequest(field, "field required")
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidRequest(field, "must be a list of strings", found)
    return found


def check_path(path: Any, field: str) -> None:
    """Refuse what is not a path below the working folder."""
    if not isinstance(path, str):
        raise InvalidRequest(field, "a path must be a string", path)
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or ".." in parts
        or "\0" in path
        or path.endswith("/")
        or len(path) > 1024
    ):
        raise InvalidRequest(field, f"{path!r} must be a relative path without '..'", path)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(field, f"{path!r} is not valid text", path) from error
