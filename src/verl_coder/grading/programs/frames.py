"""Messages between the judge and the candidate: JSON with its length before it, on a stream socket."""

import json
import socket
import struct
from typing import Any

MAX_FRAME_BYTES = 64 << 20
HELLO = b"h"
"""The harness's first byte, sent before anything of the solution runs: without it the sandbox failed."""
_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """A value cannot travel, or what arrived is not in the format."""


def send_frame(sock: socket.socket, message: Any) -> None:
    """Send one JSON message."""
    try:
        data = json.dumps(message, separators=(",", ":")).encode()
    except RecursionError:
        raise WireError("the value is nested too deeply") from None
    if len(data) > MAX_FRAME_BYTES:
        raise WireError(f"the value takes {len(data) >> 20} MB")
    sock.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(sock: socket.socket) -> Any:
    """The next JSON message; EOFError at the end of the stream, TimeoutError by the socket's time-out."""
    (length,) = _LENGTH.unpack(_receive_exactly(sock, 4))
    if length > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {length >> 20} MB")
    try:
        return json.loads(_receive_exactly(sock, length))
    except RecursionError:
        raise WireError("the value is nested too deeply") from None
    except ValueError as error:
        raise WireError(f"not JSON ({error})") from None


def _receive_exactly(sock: socket.socket, length: int) -> bytes:
    data = sock.recv(min(length, 1 << 20))
    if len(data) == length:
        return data
    parts, missing = [data], length - len(data)
    while data and missing:
        data = sock.recv(min(missing, 1 << 20))
        parts.append(data)
        missing -= len(data)
    if missing:
        raise EOFError
    return b"".join(parts)
