"""What the mirror tells Prometheus. Labels are bounded: kinds and states, never names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hexhub.repositories.mirror import Mirror

STATES = ("closed", "half-open", "open")


class MirrorCollector(Collector):
    """Reads the sums of a mirror whenever they are asked for."""

    def __init__(self) -> None:
        self.mirror: Mirror | None = None

    def collect(self) -> Iterator[Metric]:
        if self.mirror is None:
            return
        mirror = self.mirror
        for name, meaning, label, counts in (
            (
                "answers",
                "Files answered from the mirror, by state.",
                "state",
                mirror.mirrored.answers,
            ),
            ("refused", "Requests refused by rules.", "kind", mirror.rule_book.refused),
            ("upstream_requests", "Requests to the upstream.", "result", mirror.upstream.results),
        ):
            family = CounterMetricFamily(f"hexhub_mirror_{name}", meaning, labels=[label])
            for value, count in counts.items():
                family.add_metric([value], count)
            yield family
        circuit = GaugeMetricFamily(
            "hexhub_mirror_circuit", "1 for the state of the circuit.", labels=["state"]
        )
        for state in STATES:
            circuit.add_metric([state], float(mirror.upstream.circuit.state == state))
        yield circuit
        yield GaugeMetricFamily(
            "hexhub_mirror_fetches",
            "Files being fetched from the upstream.",
            value=mirror.mirrored.under_way,
        )
