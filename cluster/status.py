"""What a member tells of itself and of the others."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.files import Durations


@dataclass(frozen=True, slots=True)
class Member:
    """One member as this node sees it. `lag` is how many entries it is behind."""

    name: str
    role: str
    reachable: bool
    applied: int
    lag: int
    address: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How this node is; `role` is leader, follower, candidate or joining."""

    node: str
    cluster: str
    version: str
    role: str
    leader: str | None
    term: int
    quorum: bool
    applied: int
    commit: int
    members: tuple[Member, ...]
    disk_free: int
    disk_read_only: bool = False
    """Whether the disk takes no writes any more. Reads go on."""
    removed: bool = False
    """Whether the other members have taken this one out; it must join anew."""
    waits_for: str = ""
    """What a node that is in no cluster yet waits for."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to count inside one member. Sizes are bytes.

    `syncs` is None while it belongs to no cluster yet. `entries` is how many the log still holds,
    `waiting` how many proposals wait for their turn.
    """

    syncs: Durations | None
    entries: int
    tables: int
    map: int
    waiting: int
    waiting_bytes: int
