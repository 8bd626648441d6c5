"""The state of this node and its cluster at a glance, and the numbers that move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from aiohttp.web import StreamResponse

from cluster import Member
from hexhub.domain import jobs, upstream_names, users
from hexhub.http import membership
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.metrics import Metrics
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.schema import Organization, Package, User
from hexhub.sites.web.admin import gate, upstream, usage
from hexhub.sites.web.spoken import ago, short, size
from hexhub.storage.hybrid import HybridStorage

TICKS, TICK_S = 5, 2.0
"""A stream ends after some ticks and the browser asks again, with its session as it is then."""

Value: TypeAlias = "str | tuple[str, str]"
"""A text, or a text and the kind of badge that shows it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted up to a moment; `seconds` are those that `timed` requests took."""

    at: float
    requests: float = 0.0
    errors: float = 0.0
    seconds: float = 0.0
    timed: float = 0.0


def routes(metrics: Metrics, used: usage.Usage) -> Routes:
    """The overview of a node with these metrics and the sums that it remembers."""
    found = Routes(gate.administration)
    start = Sample(time.monotonic())

    @found.get("", allow=gate.LOOKS)
    async def show(call: Call) -> StreamResponse:
        """The page."""
        hub, sums = call.hub, await used.sums(call.hub)
        with hub.store.view() as view:
            counts = {
                "users": view.count(User),
                "organizations": view.count(Organization),
                "packages": view.count(Package),
                "releases": sums.releases.count,
            }
            alone = len(users.administrators(view)) == 1
            working = [job for job in jobs.newest(view) if jobs.alive(job, call.now)]
            clashes = len(upstream_names.clashes(view))
        return gate.page(
            "overview.html",
            counts=counts,
            alone=alone,
            working=len(working),
            clashes=clashes,
            cluster=membership.state(hub.node, hub.storage.behind, insider=True),
            numbers=numbers(hub, sums, start, sample(metrics)),
            upstream=upstream.state(hub),
            damaged=hub.storage.damaged,
        )

    @found.get("/live", allow=gate.LOOKS)
    async def live(call: Call) -> StreamResponse:
        """The numbers, as they change (server-sent events)."""

        async def ticks() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            before = sample(metrics)
            for _ in range(TICKS):
                await asyncio.sleep(TICK_S)
                now = sample(metrics)
                body = msgspec.json.encode(numbers(call.hub, used.known(), before, now))
                before = now
                yield b"data: " + body + b"\n\n"

        return Streamed(200, gate.EVENTS, ticks())

    return found


def numbers(hub: Hub, sums: usage.Sums, before: Sample, now: Sample) -> dict[str, Value]:
    """What moves, in words; rate and latency are those between two samples."""
    status = hub.node.status()
    elapsed, timed = now.at - before.at, now.timed - before.timed
    latency = (now.seconds - before.seconds) / timed * 1000 if timed else None
    found: dict[str, Value] = {
        "requests": short(int(now.requests)),
        "rate": f"{(now.requests - before.requests) / elapsed:.1f}" if elapsed > 0.5 else "–",
        "errors": short(int(now.errors)),
        "latency": f"{latency:.1f} ms" if latency is not None else "–",
        "applied": f"{status.applied:,}",
        "role": status.role,
        "disk": size(status.disk_free),
        "stored": size(sums.size),
        "behind": short(hub.storage.behind),
        "term": f"{status.term:,}",
    }
    if isinstance(hub.storage, HybridStorage):
        reads = hub.storage.hits + hub.storage.misses
        found["copies"] = f"{hub.storage.hits / reads:.0%}" if reads else "–"
    for member in status.members:
        found |= _member(member)
    return found | _mirror(hub)


def _member(member: Member) -> dict[str, Value]:
    reachable = ("reachable", "badge good") if member.reachable else ("unreachable", "badge bad")
    return {
        f"{member.name}:state": reachable,
        f"{member.name}:role": member.role,
        f"{member.name}:applied": f"{member.applied:,}",
        f"{member.name}:lag": f"{member.lag:,}",
    }


def _mirror(hub: Hub) -> dict[str, Value]:
    state = upstream.state(hub)
    if state is None or hub.mirror is None:
        return {}
    answers = hub.mirror.mirrored.answers
    asked = sum(answers.values())
    hits = asked - answers.get("miss", 0)
    last = state["last_answer"]
    return {
        "hits": f"{hits / asked:.0%}" if asked else "–",
        "upstream": (state["words"], f"badge {state['mark']}"),
        "answered": ago(last, hub.now()) if last else "not since this node started",
        "trouble": state["last_error"] or "none",
        "under_way": short(state["under_way"]),
    }


def sample(metrics: Metrics) -> Sample:
    """What was counted since the node started."""
    requests = errors = seconds = timed = 0.0
    for family in (metrics.requests, metrics.durations):
        for metric in family.collect():
            for each in metric.samples:
                if each.name == "hexhub_http_requests_total":
                    requests += each.value
                    errors += each.value if each.labels["status"].startswith("5") else 0
                elif each.name.endswith("_sum"):
                    seconds += each.value
                elif each.name.endswith("_count"):
                    timed += each.value
    return Sample(time.monotonic(), requests, errors, seconds, timed)
