"""Which of several servers takes the next request: the one on this host first, and none that fails."""

import math
import random
import socket
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["run", "session"]
"""A server has room for so many runs, and for so many sessions beside them: it may be full of one kind."""

_REST_S = 2.0
_LONGEST_REST_S = 10.0
_DOUBLINGS = math.ceil(math.log2(_LONGEST_REST_S / _REST_S))
SLOTS_HEADER = "x-sandbox-slots"
"""Of every answer of the embedded server: programs that it runs at a time."""
_UNKNOWN_SLOTS = 8


class Router:
    """Chooses the least busy server that does not rest; one on this host may be busier by its slots.

    A server that fails rests, twice as long each time in a row (2 to 10 s), then is asked by one request alone until
    it has answered: an unreachable host holds up one request at a time, not all of them.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._local = {url for url in self.urls if len(self.urls) > 1 and is_local(url)}
        self._slots = dict.fromkeys(self.urls, _UNKNOWN_SLOTS)
        self._busy = dict.fromkeys(self.urls, 0)
        self._faults = dict.fromkeys(self.urls, 0)
        self._resting_until = dict.fromkeys(self.urls, 0.0)
        self._full_until: dict[tuple[str, Kind], float] = {}

    def choose(self, kind: Kind = "run", among: Sequence[str] = ()) -> str:
        """The server for the next request, one of `among` where that is given; if all rest, whose rest ends first."""
        urls = among or self.urls
        awake = [url for url in urls if self.is_awake(url, kind)]
        if not awake:
            return min(urls, key=lambda url: self._rests_until(url, kind))
        loads = {url: self._load(url) for url in awake}
        least = min(loads.values())
        return random.choice([url for url in awake if loads[url] == least])

    def is_awake(self, url: str, kind: Kind = "run") -> bool:
        """Whether `url` neither rests nor is tried by a request after its rest."""
        return self._rests_until(url, kind) <= time.monotonic() and not self._is_tried(url)

    def full_s(self, kind: Kind = "run", among: Sequence[str] = ()) -> float:
        """Seconds until one of the servers is to be asked again, where all are full; else 0."""
        until = min(self._full_until.get((url, kind), 0.0) for url in among or self.urls)
        return max(0.0, until - time.monotonic())

    def _rests_until(self, url: str, kind: Kind) -> float:
        return max(self._resting_until[url], self._full_until.get((url, kind), 0.0))

    def _is_tried(self, url: str) -> bool:
        return self._faults[url] > 0 and self._busy[url] > 0

    def _load(self, url: str) -> int:
        return self._busy[url] - (self._slots[url] if url in self._local else 0)

    def begin(self, url: str) -> None:
        """A request goes to `url`."""
        self._busy[url] += 1

    def end(self, url: str) -> None:
        """It has come back, however it went."""
        self._busy[url] -= 1

    def answered(self, url: str, slots: str | None) -> None:
        """`url` gave an answer, with SLOTS_HEADER or None."""
        self._faults[url] = 0
        if slots and slots.isdecimal():
            self._slots[url] = max(int(slots), 1)

    def failed(self, url: str) -> None:
        """`url` gave none."""
        now = time.monotonic()
        if self._resting_until[url] <= now:  # of the requests that die with a server, the first counts
            self._faults[url] += 1
        # The exponent is bounded as well: a power of two that is no float any more ends the request by OverflowError.
        rest_s = min(_REST_S * 2 ** min(self._faults[url] - 1, _DOUBLINGS), _LONGEST_REST_S)
        self._resting_until[url] = now + rest_s

    def overloaded(self, url: str, kind: Kind, retry_after: str | None) -> None:
        """`url` is full of this kind: it rests as long as it says, and is not taken for broken."""
        rest_s = float(retry_after) if retry_after and retry_after.isdecimal() else _REST_S
        self._full_until[url, kind] = time.monotonic() + min(rest_s, _LONGEST_REST_S)


def is_local(url: str) -> bool:
    """Whether the host of `url` is this one: one of its addresses can be bound here. False where it has no address."""
    return _is_own_name(urlsplit(url).hostname or "")


@lru_cache(maxsize=256)
def _is_own_name(name: str) -> bool:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
        except OSError:
            continue
        return True
    return False
