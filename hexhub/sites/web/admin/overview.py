"""The state of this node and its cluster at a glance, and the numbers that move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from aiohttp.web import StreamResponse

from hexhub.domain import users
from hexhub.http import membership
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.metrics import Metrics
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.schema import Organization, Package, Release, User
from hexhub.sites.web.admin import gate
from hexhub.sites.web.spoken import short, size

TICKS, TICK_S = 5, 2.0
"""A stream ends after some ticks and the browser asks again, with its session as it is then."""


def routes(metrics: Metrics) -> Routes:
    """The overview of a node with these metrics."""
    found = Routes(gate.administration)

    @found.get("", allow=gate.LOOKS)
    async def show(call: Call) -> StreamResponse:
        """The page."""
        hub = call.hub
        with hub.store.view() as view:
            counts = {
                "users": view.count(User),
                "organizations": view.count(Organization),
                "packages": view.count(Package),
                "releases": view.count(Release),
            }
            alone = len(users.administrators(view)) == 1
        return gate.page(
            "overview.html",
            counts=counts,
            alone=alone,
            cluster=membership.state(hub.node, hub.storage.behind, insider=True),
            numbers=numbers(hub, metrics),
            upstream=_upstream(hub),
            damaged=hub.storage.damaged,
        )

    @found.get("/live", allow=gate.LOOKS)
    async def live(call: Call) -> StreamResponse:
        """The numbers, as they change (server-sent events)."""

        async def ticks() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            for _ in range(TICKS):
                body = msgspec.json.encode(numbers(call.hub, metrics))
                yield b"data: " + body + b"\n\n"
                await asyncio.sleep(TICK_S)

        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        return Streamed(200, headers, ticks())

    return found


def numbers(hub: Hub, metrics: Metrics) -> dict[str, str]:
    """What moves, in words."""
    requests, errors, seconds, timed = _sums(metrics)
    status = hub.node.status()
    found = {
        "requests": short(int(requests)),
        "errors": short(int(errors)),
        "latency": f"{seconds / timed * 1000:.1f} ms" if timed else "–",
        "applied": f"{status.applied:,}",
        "role": status.role,
        "disk": size(status.disk_free) if status.disk_free is not None else "–",
    }
    if hub.mirror is not None:
        answers = hub.mirror.mirrored.answers
        asked = sum(answers.values())
        hits = asked - answers.get("miss", 0)
        found["hits"] = f"{hits / asked:.0%}" if asked else "–"
        found["circuit"] = hub.mirror.upstream.circuit.state
    return found


def _sums(metrics: Metrics) -> tuple[float, float, float, float]:
    """Requests, those answered with 5xx, and the seconds of how many."""
    requests = errors = seconds = timed = 0.0
    for family in (metrics.requests, metrics.durations):
        for metric in family.collect():
            for sample in metric.samples:
                if sample.name == "hexhub_http_requests_total":
                    requests += sample.value
                    errors += sample.value if sample.labels["status"].startswith("5") else 0
                elif sample.name.endswith("_sum"):
                    seconds += sample.value
                elif sample.name.endswith("_count"):
                    timed += sample.value
    return requests, errors, seconds, timed


def _upstream(hub: Hub) -> dict[str, object] | None:
    if hub.mirror is None:
        return None
    circuit = hub.mirror.upstream.circuit
    return {
        "url": hub.mirror.upstream.settings.urls["repo"],
        "circuit": circuit.state,
        "offline": hub.mirror.upstream.settings.offline,
        "last_error": circuit.last_error,
    }
