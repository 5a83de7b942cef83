"""Prometheus metrics of the server."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(
        self,
        *,
        running: Callable[[], int],
        queued: Callable[[], int],
        replaced: Callable[[], int],
        sessions: Callable[[], int],
    ) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        Gauge("sandbox_running", "Slots that run a program now.", registry=registry).set_function(running)
        Gauge("sandbox_queued", "Requests that wait for a slot.", registry=registry).set_function(queued)
        Gauge("sandbox_slots_replaced", "Slots replaced since start.", registry=registry).set_function(
            replaced
        )
        Gauge("sandbox_sessions", "Open sessions.", registry=registry).set_function(sessions)
        self.requests = Counter(
            "sandbox_requests", "Answers by route and outcome.", ["route", "outcome"], registry=registry
        )
        self.latency = Histogram(
            "sandbox_request_seconds",
            "Time from request to answer, the wait in the queue included.",
            ["route"],
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
            registry=registry,
        )
        self._children: dict[tuple[str, str], Counter] = {}
        self._latencies: dict[str, Histogram] = {}

    def observe(self, route: str, outcome: str, seconds: float) -> None:
        """Count one answer."""
        key = (route, outcome)
        if key not in self._children:
            self._children[key] = self.requests.labels(route, outcome)
        if route not in self._latencies:
            self._latencies[route] = self.latency.labels(route)
        self._children[key].inc()
        self._latencies[route].observe(seconds)

    def render(self) -> bytes:
        """The text of GET /metrics."""
        return generate_latest(self._registry)
