"""Operation: health, metrics, the state of the cluster (design §7)."""

from __future__ import annotations

import msgspec
from aiohttp.web import Response, StreamResponse

from cluster import ClusterError
from hexhub.domain import permissions, upstream_names
from hexhub.errors import Forbidden, HubError, Unauthenticated
from hexhub.http import auth, membership, otp, responses
from hexhub.http.call import Call
from hexhub.http.metrics import CONTENT_TYPE, Metrics
from hexhub.http.routes import Access, Handler, Routes
from hexhub.hub import Hub

ANYONE = Access("anyone")
ADMINISTRATOR = Access("an administrator", credentials=True, permission="write")


async def _ops(call: Call, handler: Handler) -> StreamResponse:
    try:
        response = await handler(call)
    except (HubError, ClusterError) as error:
        response = responses.error_object(call, error, "json")
    response.headers["Cache-Control"] = "no-store"
    return response


routes = Routes(_ops)


def _json(value: object, status: int = 200) -> Response:
    return Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


@routes.get("/status", allow=ANYONE)
async def status(call: Call) -> StreamResponse:
    """200 with an empty body, as hex.pm answers."""
    return Response(status=200)


@routes.get("/health/live", allow=ANYONE)
async def live(call: Call) -> StreamResponse:
    """The process answers."""
    return _json({"status": "ok"})


@routes.get("/health/read", allow=ANYONE)
async def read(call: Call) -> StreamResponse:
    """Local reads can be answered."""
    with call.hub.store.view() as view:
        applied = view.applied
    return _json({"status": "ok", "applied": applied})


@routes.get("/health/ready", allow=ANYONE)
async def ready(call: Call) -> StreamResponse:
    """Writes would be taken."""
    missing = await _missing_for_writes(call.hub)
    return _json({"status": missing or "ok"}, 503 if missing else 200)


async def _missing_for_writes(hub: Hub) -> str | None:
    """What stands against a write here; None when nothing does."""
    state = hub.node.status()
    if state.disk_read_only:
        return "disk read-only"
    if not state.quorum:
        return "no quorum"
    if state.disk_free < hub.node.settings.disk_reserve:
        return "disk full"
    if not await hub.storage.writable():
        return "storage cannot be written"
    return None


def _upstream(hub: Hub) -> dict[str, object]:
    """How the upstream does. Reported; a node is well without it."""
    if hub.mirror is None:
        return {}
    circuit = hub.mirror.upstream.circuit.state
    with hub.store.view() as view:
        clashes = len(upstream_names.clashes(view))
    return {
        "upstream": {
            "ok": circuit == "closed" and not clashes,
            "circuit": circuit,
            "offline": hub.mirror.upstream.settings.offline,
            "name_clashes": clashes,
        }
    }


@routes.get("/health", allow=ANYONE)
async def health(call: Call) -> StreamResponse:
    """All parts at a glance."""
    state = call.hub.node.status()
    missing = await _missing_for_writes(call.hub)
    writable = await call.hub.storage.writable()
    room = state.disk_free >= call.hub.node.settings.disk_reserve and not state.disk_read_only
    return _json(
        {
            "status": "degraded" if missing else "ok",
            "node": state.node,
            **({"reason": missing} if missing else {}),
            "parts": {
                "cluster": {"ok": state.quorum, "role": state.role},
                "tables": {"ok": room, "applied": state.applied},
                "storage": {
                    "ok": writable and call.hub.storage.damaged == 0,
                    "writable": writable,
                    "damaged": call.hub.storage.damaged,
                    "behind": call.hub.storage.behind,
                },
                **_upstream(call.hub),
            },
        },
        503 if missing else 200,
    )


@routes.get("/api/cluster/status", allow=ANYONE)
async def cluster_status(call: Call) -> StreamResponse:
    """The members as this node sees them; addresses, versions and disk only for an administrator."""
    insider = await _is_administrator(call)
    value = membership.state(call.hub.node, call.hub.storage.behind, insider=insider)
    return _json(value, 200 if value["quorum"] else 503)


@routes.post("/api/cluster/join", allow=ADMINISTRATOR)
async def join(call: Call) -> StreamResponse:
    """Have this node join the cluster of `target`; `discard` names it when its own data may go."""
    await _require_administrator(call)
    return _json(
        await membership.join(call.hub, call.parameter("target"), call.parameter("discard"))
    )


@routes.post("/api/cluster/leave", allow=ADMINISTRATOR)
async def leave(call: Call) -> StreamResponse:
    """Have this node leave its cluster."""
    await _require_administrator(call)
    return _json(await membership.leave(call.hub))


async def _require_administrator(call: Call) -> None:
    """Raises Unauthenticated or Forbidden for anyone but an administrator's own key."""
    await call.hub.store.barrier()
    actor = call.actor = await auth.authenticate(call)
    permissions.require_credentials(actor)
    if not (actor.user and actor.user.admin):
        raise Forbidden("only an administrator may change the cluster")
    permissions.require_write(actor, None)
    otp.check_write(call)


async def _is_administrator(call: Call) -> bool:
    try:
        actor = await auth.authenticate(call)
    except Unauthenticated:
        return False
    key = actor.credential
    return (
        actor.user is not None
        and actor.user.admin
        and (key is None or permissions.grants(key, "api", "read"))
    )


def metrics_routes(metrics: Metrics) -> Routes:
    """`/metrics`, of these metrics."""
    found = Routes(_ops)

    @found.get("/metrics", allow=ANYONE)
    async def show(call: Call) -> StreamResponse:
        """What Prometheus scrapes."""
        metrics.node.hub = call.hub
        metrics.mirror.mirror = call.hub.mirror
        await metrics.collect()
        return Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return found
