"""Messages between the judge and the candidate: JSON with its length before it, on a stream socket."""

import json
import socket
import struct
import time
from typing import Any

MAX_FRAME_BYTES = 64 << 20
HELLO = b"h"
"""The harness's first byte, sent before anything of the solution runs: without it the sandbox failed."""
_LENGTH = struct.Struct(">I")
_GATHER_S = 0.001


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


class GatheredFrames:
    """Frames of a peer that has several to send: while it works on, they gather, since each wake-up costs a switch."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = bytearray()

    def receive(self, *, last: bool) -> Any:
        """As `receive_frame`; `last`: none is known to come after it, so that there is nothing to wait for."""
        if not self._has(4):
            self._fill(4, gather=not last)
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MAX_FRAME_BYTES:
            raise WireError(f"a frame of {length >> 20} MB")
        self._fill(4 + length, gather=False)
        body = bytes(self._data[4 : 4 + length])
        del self._data[: 4 + length]
        return _parsed(body)

    def _has(self, count: int) -> bool:
        return len(self._data) >= count

    def _fill(self, count: int, *, gather: bool) -> None:
        while len(self._data) < count:
            if gather:
                time.sleep(_GATHER_S)
                gather = False
            part = self._sock.recv(1 << 16)
            if not part:
                raise EOFError
            self._data += part


def receive_frame(sock: socket.socket) -> Any:
    """The next JSON message; EOFError at the end of the stream, TimeoutError by the socket's time-out."""
    (length,) = _LENGTH.unpack(_receive_exactly(sock, 4))
    if length > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {length >> 20} MB")
    return _parsed(_receive_exactly(sock, length))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
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
