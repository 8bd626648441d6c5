"""The upstream: how it does, what came when it was asked just now, and settings for all nodes."""

from __future__ import annotations

from typing import Any

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mirror_settings
from hexhub.errors import Errors, Invalid, NotFound
from hexhub.formats import signing_key
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.repositories import trial
from hexhub.repositories.upstream import Site
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

SITES: tuple[tuple[Site, str], ...] = (
    ("repo", "Repository"),
    ("api", "API"),
    ("builds", "Builds of Hex and rebar3"),
)
FIELDS = (
    ("wait", "Wait before an old copy is served", "ms", "UPSTREAM_WAIT"),
    ("timeout", "Longest request", "ms", "UPSTREAM_TIMEOUT"),
    ("retry_attempts", "Further tries", "tries", "UPSTREAM_RETRY_ATTEMPTS"),
    ("retry_delay", "Wait before the first further try", "ms", "UPSTREAM_RETRY_DELAY"),
    ("connections", "Connections at most, for each node", "", "UPSTREAM_CONNECTIONS"),
    ("quota", "Kept tarballs and docs at most; 0 for no bound", "bytes", "MIRROR_QUOTA"),
)
"""Setting, what it says, unit, and the name that configures a node."""


@routes.get("/upstream", allow=gate.LOOKS)
async def show(call: Call) -> StreamResponse:
    """State and settings."""
    return _page(call)


def _page(
    call: Call,
    *,
    status: int = 200,
    wrong: Errors | None = None,
    typed: dict[str, str] | None = None,
    trials: list[trial.Trial] | None = None,
) -> Response:
    hub = call.hub
    if hub.mirror is None or hub.adjusted is None:
        return gate.page("upstream.html", upstream=None)
    with hub.store.view() as view:
        current = mirror_settings.current(view)
    values = typed or {
        name: "" if getattr(current, name) is None else str(getattr(current, name))
        for name in mirror_settings.BOUNDS
    }
    return gate.page(
        "upstream.html",
        status=status,
        upstream=state(hub),
        current=current,
        fields=[
            (name, label, unit, configured, getattr(hub.adjusted.configured, name), values[name])
            for name, label, unit, configured in FIELDS
        ],
        bounds=mirror_settings.BOUNDS,
        wrong=wrong or {},
        trials=trials,
        fingerprint=signing_key.fingerprint(hub.mirror.believed.public_key),
    )


def state(hub: Hub) -> dict[str, Any] | None:
    """How the upstream does, as this node sees it; None where there is none."""
    if hub.mirror is None or hub.adjusted is None:
        return None
    upstream = hub.mirror.upstream
    circuit = upstream.circuit
    if hub.adjusted.offline:
        words, mark = "offline by intention", "warn"
    elif upstream.settings.paused:
        words, mark = "paused", "warn"
    elif circuit.state == "closed":
        untried = circuit.last_answer is None and circuit.last_error is None
        words, mark = ("not asked yet", "") if untried else ("answers", "good")
        if circuit.last_error:
            words, mark = "failing", "warn"
    else:
        words, mark = ("left alone" if circuit.state == "open" else "tried again"), "bad"
    return {
        "sites": [(label, upstream.settings.urls[site]) for site, label in SITES],
        "url": upstream.settings.urls["repo"],
        "words": words,
        "mark": mark,
        "circuit": circuit.state,
        "offline": hub.adjusted.offline,
        "last_answer": circuit.last_answer,
        "last_error": circuit.last_error,
        "results": dict(upstream.results),
        "under_way": hub.mirror.mirrored.under_way,
    }


@routes.post("/upstream", allow=gate.CHANGES)
async def change(call: Call) -> StreamResponse:
    """Set the mirror on all nodes."""
    if call.hub.mirror is None:
        raise NotFound
    fields = {name: text(call, name) for name in mirror_settings.BOUNDS}
    try:
        new = mirror_settings.typed(fields, paused="paused" in call.body)
    except Invalid as error:
        return _page(call, status=422, wrong=error.errors, typed=fields)
    await call.hub.store.transact(mirror_settings.put, call.origin, new, call.now)
    return pages.redirect("/admin/upstream")


@routes.post("/upstream/test", allow=gate.CHANGES)
async def test(call: Call) -> StreamResponse:
    """Ask the upstream now, and say what came."""
    if call.hub.mirror is None:
        raise NotFound
    return _page(call, trials=await trial.ask(call.hub.mirror, call.hub.store))
