"""Who the members are: an entry that adds or removes one, and what a run of them comes to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cluster.errors import SchemaTooNew

MEMBERSHIP = b"\x02"
"""The first byte of an entry that changes the members."""

ADD, REMOVE = "add", "rem"


class MemberChange(msgspec.Struct, frozen=True, array_like=True):
    """One member more or less. Its address is where it was then; it may move."""

    kind: str
    member: str
    host: str
    port: int


_decode = msgspec.msgpack.Decoder(MemberChange).decode


def encode(change: MemberChange) -> bytes:
    """The whole entry."""
    return MEMBERSHIP + msgspec.msgpack.encode(change)


def decode(entry: bytes) -> MemberChange | None:
    """None for an entry of another kind; SchemaTooNew for a change this code does not know."""
    if entry[:1] != MEMBERSHIP:
        return None
    try:
        change = _decode(entry[1:])
    except msgspec.MsgspecError as error:
        raise SchemaTooNew(f"the log changes members in an unknown way: {error}") from None
    if change.kind not in (ADD, REMOVE):
        raise SchemaTooNew(f"the log changes members in an unknown way: {change.kind}")
    return change


def fold(members: Iterable[str], changes: Iterable[MemberChange]) -> frozenset[str]:
    """The members after these changes, one after the other."""
    found = set(members)
    for change in changes:
        if change.kind == ADD:
            found.add(change.member)
        else:
            found.discard(change.member)
    return frozenset(found)


def name_of(member: str) -> str:
    """The name in a member's id, `incarnation/name`."""
    return member.partition("/")[2]
