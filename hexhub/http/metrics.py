"""Metrics of one node, for Prometheus. Labels are bounded: patterns of routes, never paths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from hexhub import __version__
from hexhub.http.mirror_metrics import MirrorCollector
from hexhub.http.node_metrics import NodeCollector
from hexhub.http.tallies import BOUNDS, TIMES, Tallies

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RequestCounts(Collector):
    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "hexhub_http_requests", "Requests answered.", labels=("route", "method", "status")
        )
        for (route, method, status), times in self._tallies.sums.requests.items():
            family.add_metric((route, method, str(status)), sum(times[:-1]))
        yield family


class RequestDurations(Collector):
    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "hexhub_http_request_duration_seconds",
            "From the request's head to the end of the answer.",
            labels=("route",),
        )
        routes: dict[str, list[float]] = {}
        for (route, _, _), times in self._tallies.sums.requests.items():
            summed = routes.get(route, [0.0] * TIMES)
            routes[route] = [one + more for one, more in zip(summed, times, strict=True)]
        bounds = [*map(str, BOUNDS), "+Inf"]
        for route, times in routes.items():
            buckets = list(zip(bounds, accumulate(times[:-1]), strict=True))
            family.add_metric((route,), buckets, times[-1])
        yield family


class Processes(Protocol):
    """Reader processes, as they are watched."""

    @property
    def running(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    async def collect(self) -> None: ...
    def renew(self) -> None: ...


class ProcessFigures(Collector):
    def __init__(self) -> None:
        self.readers: Processes | None = None

    def collect(self) -> Iterator[Metric]:
        if self.readers is None:
            return
        yield GaugeMetricFamily(
            "hexhub_readers", "Reader processes beside the main one.", value=self.readers.running
        )
        yield CounterMetricFamily(
            "hexhub_reader_restarts",
            "Reader processes that ended by themselves and were replaced.",
            value=self.readers.restarts,
        )


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tallies = Tallies()
        self.requests = RequestCounts(self.tallies)
        self.durations = RequestDurations(self.tallies)
        self.registry.register(self.requests)
        self.registry.register(self.durations)
        self.in_flight = Gauge(
            "hexhub_http_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.processes = ProcessFigures()
        self.registry.register(self.processes)
        self.node = NodeCollector()
        self.registry.register(self.node)
        ProcessCollector(registry=self.registry)
        self.mirror = MirrorCollector()
        self.registry.register(self.mirror)
        build = Gauge(
            "hexhub_build_info", "Version of this node.", ("version",), registry=self.registry
        )
        build.labels(version=__version__).set(1)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.tallies.add(route, method, status, seconds)

    async def collect(self) -> None:
        """Have what other processes counted added, and sums over tables read."""
        await self.node.sum_up()
        if self.processes.readers is not None:
            await self.processes.readers.collect()

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
