"""What the main process and a reader say to one another over a socket that keeps messages whole."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from hexhub.http import wire
from hexhub.http.gate import AddressRules
from hexhub.http.hot_path import Kept
from hexhub.http.tallies import Sums

MESSAGE_MAX: Final = 160 * 1024
"""Bytes of a message; the system takes no more than a little above it in one piece."""
BODY_MAX: Final = 64 * 1024
"""Bodies above this go by a descriptor of memory that all processes then share."""
READ_MAX: Final = 64 * 1024
"""Bytes that a reader takes from a connection at once."""


class Begin(msgspec.Struct, tag=True, frozen=True):
    """To a reader, first: how it is to work. `head_s` and `keepalive_s`: how long it waits for the
    first request on a connection, and for the next."""

    docs_host: str | None
    log_format: str
    bytes_max: int
    head_s: float = wire.HEAD_S
    keepalive_s: float = wire.KEEPALIVE_S


class Rules(msgspec.Struct, tag=True, frozen=True):
    """To a reader: what holds from now on."""

    addresses: AddressRules
    log_level: str


class Learnt(msgspec.Struct, tag=True, frozen=True):
    """To a reader: an answer. A large body comes as a descriptor with `size` bytes."""

    kept: Kept
    body: bytes
    size: int = 0


class Back(msgspec.Struct, tag=True, frozen=True):
    """To a reader, with a descriptor: a connection that it is to go on with."""

    peer: str


class Ask(msgspec.Struct, tag=True, frozen=True):
    """To a reader: tell at once what was summed."""

    number: int


class Drain(msgspec.Struct, tag=True, frozen=True):
    """To a reader: accept nothing more, hand everything over, and end."""


class Over(msgspec.Struct, tag=True, frozen=True):
    """From a reader, with a descriptor: a connection, and what was read from it."""

    peer: str
    data: bytes
    waited_s: float


class Told(msgspec.Struct, tag=True, frozen=True):
    """From a reader: what was summed since the last time; `number` is that of the question."""

    sums: Sums
    answered: int
    connections: int
    number: int = 0


class Ready(msgspec.Struct, tag=True, frozen=True):
    """From a reader: it accepts connections."""


ToReader: TypeAlias = Begin | Rules | Learnt | Back | Ask | Drain
FromReader: TypeAlias = Over | Told | Ready

_encoder = msgspec.msgpack.Encoder()
to_reader: Final[msgspec.msgpack.Decoder[ToReader]] = msgspec.msgpack.Decoder(ToReader)
from_reader: Final[msgspec.msgpack.Decoder[FromReader]] = msgspec.msgpack.Decoder(FromReader)


def encode(message: ToReader | FromReader) -> bytes:
    return _encoder.encode(message)


def send(channel: socket.socket, data: bytes, fds: Sequence[int] = ()) -> bool:
    """Whether the other side's queue took the message. Raises OSError when there is none."""
    try:
        if fds:
            socket.send_fds(channel, [data], list(fds))
        else:
            channel.send(data)
    except BlockingIOError:
        return False
    return True


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """A message and its descriptors; no bytes when the other side is gone. Raises BlockingIOError."""
    data, fds, flags, _ = socket.recv_fds(channel, MESSAGE_MAX + READ_MAX, 2)
    if flags & socket.MSG_CTRUNC:
        raise OSError("a descriptor was lost on its way: too many are open")
    return data, fds


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a channel that do not block."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_MAX)
    return ends
