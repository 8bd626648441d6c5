"""Metrics of one node, for Prometheus. Labels are bounded: patterns of routes, never paths."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from hexhub import __version__
from hexhub.http.mirror_metrics import MirrorCollector
from hexhub.http.node_metrics import NodeCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hexhub_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.durations = Histogram(
            "hexhub_http_request_duration_seconds",
            "From the request's head to the end of the answer.",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "hexhub_http_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.node = NodeCollector()
        self.registry.register(self.node)
        ProcessCollector(registry=self.registry)
        self.mirror = MirrorCollector()
        self.registry.register(self.mirror)
        build = Gauge(
            "hexhub_build_info", "Version of this node.", ("version",), registry=self.registry
        )
        build.labels(version=__version__).set(1)

    def observer(self, route: str, method: str, status: int) -> Callable[[float], None]:
        """Counts one more request of this kind, given its seconds."""
        count = self.requests.labels(route=route, method=method, status=status).inc
        observe = self.durations.labels(route=route).observe

        def record(seconds: float) -> None:
            count()
            observe(seconds)

        return record

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(route=route, method=method, status=status).inc()
        self.durations.labels(route=route).observe(seconds)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
