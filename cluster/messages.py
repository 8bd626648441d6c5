"""What members say to one another about the log: known kinds, known shapes, msgpack.

A frame is the kind (1) and its fields. PySyncObj's messages keep its words; the others are ours.
Anything else does not get past `decode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NotRequired, TypedDict

import msgspec

from cluster.errors import LinkRefused

Message = dict[str, Any]


class AppendEntries(TypedDict):
    """From the leader: entries behind one that must match, or a piece of a snapshot, or neither."""

    term: int
    commit_index: int
    prevLogIdx: NotRequired[int | None]
    prevLogTerm: NotRequired[int | None]
    entries: NotRequired[list[tuple[bytes, int, int]]]
    serialized: NotRequired[tuple[bytes, bool, bool] | None]


class NextIndex(TypedDict):
    """To the leader: what is held durably, or from where it should go on. `term` is ours (C10)."""

    next_node_idx: int
    reset: bool
    success: bool
    term: int


class RequestVote(TypedDict):
    term: int
    last_log_index: int
    last_log_term: int


class ResponseVote(TypedDict):
    term: int


class TimeoutNow(TypedDict):
    term: int


class ApplyCommand(TypedDict):
    """To the leader: an entry somebody here asks for."""

    command: bytes
    request_id: NotRequired[int]


class ApplyCommandResponse(TypedDict):
    request_id: int
    error: NotRequired[int]
    log_idx: NotRequired[int]
    log_term: NotRequired[int]


class Ping(TypedDict):
    """Ten times a second to everyone. `sent` is the sender's clock and comes back."""

    sent: float
    applied: int


class Pong(TypedDict):
    """`lease`: the leader grants one from `sent` on, to who has applied `commit`. `hears`: whom the
    leader heard lately, and what they have applied.
    """

    sent: float
    term: int
    applied: int
    commit: int
    lease: bool
    led: bool
    hears: NotRequired[dict[str, int]]


class AppliedUpTo(TypedDict):
    index: int


class Read(TypedDict):
    """To the leader: what is committed now?"""

    seq: int


class Reading(TypedDict):
    """The answer; None from who does not lead (any more)."""

    seq: int
    index: int | None


class Settle(TypedDict):
    """To the leader: say when every member has applied this, or may not read without asking."""

    seq: int
    index: int


class Settled(TypedDict):
    seq: int


class Taken(TypedDict):
    """To the leader: a snapshot is written up to this piece."""

    transfer: bytes
    number: int


_KINDS: Final[tuple[tuple[str, type], ...]] = (
    ("append_entries", AppendEntries),
    ("next_node_idx", NextIndex),
    ("request_vote", RequestVote),
    ("response_vote", ResponseVote),
    ("timeout_now", TimeoutNow),
    ("apply_command", ApplyCommand),
    ("apply_command_response", ApplyCommandResponse),
    ("ping", Ping),
    ("pong", Pong),
    ("applied", AppliedUpTo),
    ("read", Read),
    ("reading", Reading),
    ("settle", Settle),
    ("settled", Settled),
    ("taken", Taken),
)

_codes = {kind: bytes((code,)) for code, (kind, _) in enumerate(_KINDS)}
_decoders: list[tuple[str, Callable[[bytes], Any]]] = [
    (kind, msgspec.msgpack.Decoder(shape).decode) for kind, shape in _KINDS
]
_encode = msgspec.msgpack.Encoder().encode


def encode(message: Message) -> bytes:
    """A frame of a message as PySyncObj makes them: a dict with its kind under `type`."""
    return _codes[message["type"]] + _encode(message)


def decode(frame: bytes) -> Message:
    """The message of a frame; LinkRefused for any other frame. Fields nobody knows are dropped."""
    if not frame or frame[0] >= len(_decoders):
        raise LinkRefused("a message of an unknown kind")
    kind, parse = _decoders[frame[0]]
    try:
        message: Message = parse(frame[1:])
    except msgspec.MsgspecError as error:
        raise LinkRefused(f"a message {kind} of another shape: {error}") from None
    message["type"] = kind
    return message
