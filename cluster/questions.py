"""What nodes ask one another about who belongs to the cluster: known questions, known answers."""

from __future__ import annotations

import msgspec

from cluster.errors import LinkRefused
from cluster.journal import Entry
from cluster.links import Address
from cluster.streams import FrameReader, FrameWriter


class Standing(msgspec.Struct, frozen=True, tag=True):
    """Asks who is there, and whether the asker is a member as of its entry `index`."""

    index: int = 0


class Stands(msgspec.Struct, frozen=True, tag=True):
    """`fresh`: in no cluster yet. `out`: the asker was a member, and was removed."""

    fresh: bool
    applied: int
    members: dict[str, Address]
    leader: str
    out: bool


class Promise(msgspec.Struct, frozen=True, tag=True):
    """Asks a fresh node to let the asker form the cluster."""


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Asks for a snapshot: its Meta, its bytes in pieces, an empty frame. Then Mores are taken."""


class More(msgspec.Struct, frozen=True, tag=True):
    """Asks for committed entries from `start` on."""

    start: int


class Entries(msgspec.Struct, frozen=True, tag=True):
    entries: list[Entry]
    commit: int


class Knock(msgspec.Struct, frozen=True, tag=True):
    """Asks to be counted: everything up to `index` is here."""

    index: int


class Remove(msgspec.Struct, frozen=True, tag=True):
    name: str


class Transfer(msgspec.Struct, frozen=True, tag=True):
    """Asks the leader to hand over to this one, or to the most caught-up."""

    name: str | None


class Done(msgspec.Struct, frozen=True, tag=True):
    """What was asked has happened."""


class No(msgspec.Struct, frozen=True, tag=True):
    """It has not, and why; `leader` is where to ask instead, `again` whether waiting helps."""

    why: str
    leader: Address | None = None
    again: bool = False


Request = Standing | Promise | Fetch | More | Knock | Remove | Transfer
Reply = Stands | Entries | Done | No
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
encode = msgspec.msgpack.Encoder().encode


def request_in(frame: bytes) -> Request | None:
    """The question in a frame; None for one that this version does not know."""
    try:
        return _requests.decode(frame)
    except msgspec.MsgspecError:
        return None


def reply_in(frame: bytes) -> Reply | None:
    """The answer in a frame, None when there is none."""
    try:
        return _replies.decode(frame)
    except msgspec.MsgspecError:
        return None


async def ask(reader: FrameReader, writer: FrameWriter, request: Request) -> Reply:
    """One question and its answer. LinkRefused when there is none."""
    await writer.write(encode(request))
    frame = await reader.read()
    reply = None if frame is None else reply_in(frame)
    if reply is None:
        raise LinkRefused("the other end gave no answer")
    return reply
