"""What the faces of the cluster share: its state as JSON, and changes of who is in it."""

from __future__ import annotations

import structlog

from cluster import ClusterError, Member, Node
from hexhub.domain import blank
from hexhub.errors import Clash, Invalid, NotFound, Unavailable
from hexhub.hub import Hub


def state(node: Node, behind: int, *, insider: bool) -> dict[str, object]:
    """The members as this node sees them; addresses, versions and disk only for an insider."""
    seen = node.status()
    value: dict[str, object] = {
        "node": seen.node,
        "cluster": seen.cluster,
        "role": seen.role,
        "leader": seen.leader,
        "term": seen.term,
        "quorum": seen.quorum,
        "applied": seen.applied,
        "commit": seen.commit,
        "members": [_member(member, insider=insider) for member in seen.members],
        "blobs_behind": behind,
    }
    if insider:
        value |= {
            "version": seen.version,
            "disk_free": seen.disk_free,
            "removed": seen.removed,
            "waits_for": seen.waits_for,
        }
    return value


def _member(member: Member, *, insider: bool) -> dict[str, object]:
    value: dict[str, object] = {
        "name": member.name,
        "role": member.role,
        "reachable": member.reachable,
        "applied": member.applied,
        "lag": member.lag,
    }
    if insider:
        value |= {"address": member.address, "version": member.version}
    return value


async def join(hub: Hub, target: object, discard: object) -> dict[str, object]:
    """Have this node join the cluster of `name@host[:port]`, giving up its own.

    Raises Clash when that would lose what people made here, unless `discard` names this node.
    """
    me = hub.node.settings.name
    if not isinstance(target, str):
        raise Invalid({"target": "must be name@host or name@host:port"})
    if discard is not None and discard != me:
        raise Invalid({"discard": f"this node is {me}, and only its data can be discarded here"})
    with hub.store.view() as view:
        is_blank = blank.is_blank(view)
    if not is_blank and discard != me:
        raise Clash(
            f"{me} holds accounts, keys, organizations or packages, and joining throws them away: "
            f"repeat with --force --discard {me} if that is meant"
        )
    peer = await hub.find_peer(target)
    if peer.name == me:
        raise Clash(f"{me} is this node: a cluster has each name once")
    try:
        await hub.node.join(peer)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{peer} does not answer: {error or 'timed out'}") from error
    except ClusterError as error:
        raise Clash(str(error)) from error
    structlog.get_logger().warning("joined a cluster", target=str(peer), was_blank=is_blank)
    hub.reopen.set()
    return {"joined": str(peer)}


async def leave(hub: Hub) -> dict[str, object]:
    """Take this node out of its cluster. Raises Clash when it is alone, NoLeader, NoQuorum."""
    me = hub.node.settings.name
    if len(hub.node.status().members) == 1:
        raise Clash(f"{me} is the only member of its cluster: stop it, and delete its data")
    await hub.node.leave()
    structlog.get_logger().warning("left the cluster")
    hub.reopen.set()
    return {"left": me}


async def remove(hub: Hub, name: str) -> dict[str, object]:
    """Take another member out. Raises NotFound, Clash."""
    if name not in [member.name for member in hub.node.status().members]:
        raise NotFound(f"no member is called {name}")
    if name == hub.node.settings.name:
        raise Clash(f"{name} is this node: hexhub cluster leave takes it out")
    await hub.node.remove(name)
    structlog.get_logger().warning("removed a member", member=name)
    return {"removed": name}


async def transfer(hub: Hub, to: str | None) -> dict[str, object]:
    """Let another member lead. Raises NotFound for one that is none."""
    if to is not None and to not in [member.name for member in hub.node.status().members]:
        raise NotFound(f"no member is called {to}")
    await hub.node.transfer(to)
    return {"leader": hub.node.status().leader}
