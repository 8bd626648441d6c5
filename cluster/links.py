"""Connections between members: authenticated and encrypted before a byte of content is parsed.

Both ends prove that they hold the cluster's secret, agree on fresh keys (X25519, the secret mixed
in), and from then on every frame is sealed (ChaCha20-Poly1305, the counter of the frame as nonce).
The first frame of each end is its Hello. What flows behind it is the business of the caller.

    dialer    MAGIC | ephemeral key (32) | HMAC(key of the secret, "dial" | all before) (32)
    answerer  ephemeral key (32) | HMAC(key of the secret, "answer" | both ephemeral keys) (32)
    frame     length of what is sealed (4) | sealed; the length is authenticated with it
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cluster.errors import LinkRefused

PROTOCOL: Final = 1
"""Of frames and messages; members of another number are refused."""

MAGIC: Final = b"HXL1"
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
FIRST_BYTES: Final = len(MAGIC) + 2 * KEY_BYTES
HELLO_BYTES_MAX: Final = 4096
FRAME_BYTES_MAX: Final = 16 << 20
HANDSHAKE_SECONDS: Final = 5.0
SECRET_BYTES_MIN: Final = 16

Address = tuple[str, int]


def text_of(address: Address) -> str:
    """`host:port`; nothing for a node that is not reached by others."""
    host, port = address
    if not port:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the other end, in its own words; it holds the secret, so they are believed."""

    protocol: int = PROTOCOL
    cluster: str
    """Empty before it belongs to one."""
    member: str
    """`incarnation/name`, made with the disk."""
    name: str
    version: str
    schema: int
    address: Address
    """Where it can be dialled."""
    service: str = ""
    """What the dialer wants: `raft`, or the name of a stream."""
    refused: str = ""
    """Why the answerer will not."""
    removed: bool = False
    """The answerer knows that the dialer is no member, at an index the dialer must believe."""


_hello = msgspec.msgpack.Decoder(Hello)


class Seal:
    """The two directions of one connection: seals what goes out, opens what comes in."""

    __slots__ = ("_in", "_opened", "_out", "_sealed")

    def __init__(self, out: bytes, into: bytes) -> None:
        self._out, self._in = ChaCha20Poly1305(out), ChaCha20Poly1305(into)
        self._sealed = self._opened = 0

    def seal(self, content: bytes) -> bytes:
        """One frame, length and all."""
        length = (len(content) + TAG_BYTES).to_bytes(4, "big")
        sealed = self._out.encrypt(self._sealed.to_bytes(12, "big"), content, length)
        self._sealed += 1
        return length + sealed

    def open(self, sealed: bytes) -> bytes:
        """The content of one frame; LinkRefused when it is not the next one of the other end."""
        length = len(sealed).to_bytes(4, "big")
        try:
            content = self._in.decrypt(self._opened.to_bytes(12, "big"), sealed, length)
        except InvalidTag:
            raise LinkRefused("a frame is not what was sent") from None
        self._opened += 1
        return content


def key_of(secret: bytes) -> bytes:
    """What a cluster's secret is worth on its links. LinkRefused for one that is too short."""
    if len(secret) < SECRET_BYTES_MIN:
        raise LinkRefused(f"the cluster's secret is shorter than {SECRET_BYTES_MIN} bytes")
    return _derive(secret, b"", b"hexhub cluster links", KEY_BYTES)


class Dialing:
    """The handshake of the end that connects."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._own = X25519PrivateKey.generate()
        self._public = _public(self._own)
        head = MAGIC + self._public
        self.first = head + _proof(key, b"dial", head)

    def finish(self, answer: bytes) -> Seal:
        """The keys, from the answerer's 64 bytes; LinkRefused when it does not hold the secret."""
        theirs, proof = answer[:KEY_BYTES], answer[KEY_BYTES:]
        if not hmac.compare_digest(proof, _proof(self._key, b"answer", self._public + theirs)):
            raise LinkRefused("the other end holds another secret")
        keys = _keys(self._key, self._own, theirs, self._public + theirs)
        return Seal(keys[:KEY_BYTES], keys[KEY_BYTES:])


def answer(key: bytes, first: bytes) -> tuple[bytes, Seal]:
    """What to send back to a dialer's first bytes, and the keys; LinkRefused without the secret."""
    head, proof = first[: -KEY_BYTES or None], first[-KEY_BYTES:]
    theirs = head[len(MAGIC) :]
    if not hmac.compare_digest(proof, _proof(key, b"dial", head)) or head[:4] != MAGIC:
        raise LinkRefused("the other end holds another secret")
    own = X25519PrivateKey.generate()
    public = _public(own)
    keys = _keys(key, own, theirs, theirs + public)
    proved = public + _proof(key, b"answer", theirs + public)
    return proved, Seal(keys[KEY_BYTES:], keys[:KEY_BYTES])


@dataclass(slots=True)
class Link:
    """One connection with both Hellos exchanged. Nothing is buffered outside the socket."""

    socket: socket.socket
    seal: Seal
    peer: Hello

    async def read(self, longest: int = FRAME_BYTES_MAX) -> bytes | None:
        """The next frame; None at an orderly end. LinkRefused, ConnectionError."""
        head = await _receive(self.socket, 4, end=True)
        if head is None:
            return None
        length = int.from_bytes(head, "big")
        if not TAG_BYTES <= length <= longest + TAG_BYTES:
            raise LinkRefused(f"a frame of {length} bytes")
        sealed = await _receive(self.socket, length)
        assert sealed is not None
        return self.seal.open(sealed)

    async def write(self, content: bytes) -> None:
        """Send one frame; waits while the other end does not read."""
        await asyncio.get_running_loop().sock_sendall(self.socket, self.seal.seal(content))

    def close(self) -> None:
        self.socket.close()


async def dial(address: Address, key: bytes, hello: Hello) -> Link:
    """Connect and greet. LinkRefused when either end will not, OSError when it is not there."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        connection = await _connect(await loop.getaddrinfo(*address, type=socket.SOCK_STREAM))
        try:
            handshake = Dialing(key)
            await loop.sock_sendall(connection, handshake.first)
            received = await _receive(connection, 2 * KEY_BYTES)
            assert received is not None
            link = Link(connection, handshake.finish(received), hello)
            await link.write(msgspec.msgpack.encode(hello))
            link.peer = await _greeting(link)
            if link.peer.refused:
                raise LinkRefused(link.peer.refused, removed=link.peer.removed)
            return link
        except ConnectionError:
            connection.close()
            raise LinkRefused(f"{address[0]}:{address[1]} hung up: another secret?") from None
        except BaseException:
            connection.close()
            raise


async def greeted(connection: socket.socket, key: bytes) -> Link:
    """Let a dialer prove itself and greet; the caller answers with `welcome`."""
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            first = await _receive(connection, FIRST_BYTES)
            assert first is not None
            back, seal = answer(key, first)
            await asyncio.get_running_loop().sock_sendall(connection, back)
            link = Link(connection, seal, _NOBODY)
            link.peer = await _greeting(link)
            return link
    except BaseException:
        connection.close()
        raise


async def welcome(link: Link, hello: Hello) -> None:
    """Answer a Hello with our own, refusing it or not."""
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        await link.write(msgspec.msgpack.encode(hello))


_NOBODY = Hello(cluster="", member="", name="", version="", schema=0, address=("", 0))


async def _greeting(link: Link) -> Hello:
    frame = await link.read(HELLO_BYTES_MAX)
    try:
        hello = _hello.decode(frame or b"")
    except msgspec.MsgspecError:
        raise LinkRefused("the other end greets in a way this version does not know") from None
    if hello.protocol != PROTOCOL:
        raise LinkRefused(
            f"{hello.name} speaks protocol {hello.protocol} (version {hello.version}), this node "
            f"{PROTOCOL}: run the same version on both"
        )
    return hello


async def _connect(
    found: Sequence[tuple[int, int, int, str, tuple[object, ...]]],
) -> socket.socket:
    error: OSError = OSError("the name has no address")
    for family, kind, proto, _, where in found:
        connection = socket.socket(family, kind, proto)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connection, where)
            return connection
        except OSError as failed:
            error = failed
            connection.close()
        except BaseException:
            connection.close()
            raise
    raise error


async def _receive(connection: socket.socket, count: int, *, end: bool = False) -> bytes | None:
    """Exactly `count` bytes and not one more; None when it ended before the first, if it may."""
    loop = asyncio.get_running_loop()
    buffer = bytearray(count)
    view, got = memoryview(buffer), 0
    while got < count:
        more = await loop.sock_recv_into(connection, view[got:])
        if not more:
            if end and not got:
                return None
            raise ConnectionResetError("the connection ended inside a frame")
        got += more
    return bytes(buffer)


def hang_up(connection: socket.socket) -> None:
    """Close, and wake whoever still waits on it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _proof(key: bytes, role: bytes, content: bytes) -> bytes:
    return hmac.digest(key, role + content, "sha256")


def _keys(key: bytes, own: X25519PrivateKey, theirs: bytes, transcript: bytes) -> bytes:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise LinkRefused("the other end offers no key") from None
    return _derive(shared, key, b"hexhub link" + transcript, 2 * KEY_BYTES)


def _derive(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt or None, info).derive(material)
