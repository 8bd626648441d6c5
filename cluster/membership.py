"""Who belongs to the cluster: form, join, leave, remove, transfer.

Members ask one another over the stream `members`, which is open to whoever holds the secret.
Discovery only proposes addresses to ask. Data comes first and the vote last: a newcomer copies a
snapshot and the entries behind it, starts with them, and only then asks to be counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from cluster import boot
from cluster.configuration import ADD, REMOVE, MemberChange, name_of
from cluster.errors import LinkRefused, NoLeader, NotJoined
from cluster.links import Address, Hello
from cluster.promises import keep_promise, promised
from cluster.questions import (
    Done,
    Entries,
    Fetch,
    Knock,
    More,
    No,
    Promise,
    Remove,
    Reply,
    Request,
    Standing,
    Stands,
    Transfer,
    ask,
    encode,
    reply_in,
    request_in,
)
from cluster.raft import Raft
from cluster.snapshots import Meta, load, new_digest
from cluster.streams import FrameReader, FrameWriter, Streams

log = logging.getLogger(__name__)

SERVICE: Final = "members"
PIECE_BYTES: Final = 512 << 10
ENTRIES_BYTES: Final = 256 << 10
NEAR: Final = 64
"""Entries behind the leader's commit at which a copy is good enough to start with."""
BEHIND_MAX: Final = 5000
"""Entries a newcomer may be behind when it is counted; it has them within moments."""
DEADLINE_SECONDS: Final = 8.0
ASK_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.25


class Here(Protocol):
    """The node this is the membership of."""

    streams: Streams

    @property
    def raft(self) -> Raft | None: ...
    @property
    def name(self) -> str: ...
    @property
    def directory(self) -> Path: ...
    @property
    def schema_number(self) -> int: ...
    @property
    def addresses(self) -> dict[str, Address]: ...
    async def snapshot(self) -> Path: ...


class Membership:
    """Answers for one node, and asks others for it."""

    def __init__(self, here: Here) -> None:
        self._here = here
        here.streams.serve(SERVICE, self._serve, open=True)

    # What others are asked

    async def standing(self, target: Address, index: int = 0) -> tuple[Hello, Stands]:
        """Who listens there and what it knows. OSError, TimeoutError, LinkRefused."""
        async with asyncio.timeout(ASK_SECONDS), self._here.streams.meet(target, SERVICE) as met:
            peer, reader, writer = met
            reply = await ask(reader, writer, Standing(index))
        if not isinstance(reply, Stands):
            raise LinkRefused(f"{peer.name} does not say how it stands")
        return peer, reply

    async def promise(self, target: Address) -> bool:
        """Whether the fresh node there lets this one form."""
        async with (
            asyncio.timeout(ASK_SECONDS),
            self._here.streams.open(target, SERVICE) as (reader, writer),
        ):
            return isinstance(await ask(reader, writer, Promise()), Done)

    async def fetch(self, target: Address, room: Callable[[int], bool]) -> dict[str, Address]:
        """Copy the cluster's data beside our own, from its leader; the addresses of its members.

        The next start adopts it. OSError, TimeoutError, NotJoined.
        """
        member = f"{secrets.token_hex(8)}/{self._here.name}"
        for _ in range(5):
            async with self._here.streams.meet(target, SERVICE) as (peer, reader, writer):
                await writer.write(encode(Fetch()))
                first = await reader.read() or b""
                reply = reply_in(first)
                if reply is None:
                    meta = _meta(first)
                    if not room(2 * meta.size):
                        raise NotJoined(f"there is no room for twice the {meta.size} bytes of it")
                    await self._copy(meta, member, reader, writer)
                    return meta.addresses | {peer.member: peer.address}
            if not isinstance(reply, No) or reply.leader is None:
                raise NotJoined(reply.why if isinstance(reply, No) else f"{peer.name} is confused")
            target = reply.leader
        raise NotJoined("the members do not agree on a leader: try again")

    async def knock(self, index: int) -> None:
        """Ask the leader to count this node. NotJoined when it never will, NoLeader, OSError."""
        await self._ask_leader(Knock(index))

    async def remove(self, name: str) -> None:
        """Take a member out. NotJoined, NoLeader."""
        await self._ask_leader(Remove(name))

    async def transfer(self, name: str | None) -> None:
        """Have another member lead. NotJoined, NoLeader."""
        await self._ask_leader(Transfer(name))

    async def _ask_leader(self, request: Request) -> None:
        """Ask until the leader has done it, whoever that is by then, or says that it will not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE_SECONDS
        while loop.time() < deadline:
            raft = self._here.raft
            reply: Reply | None = None
            if raft is not None and raft.leading:
                reply = await self._answer(request, None)
            else:
                for target in self._leader_first():
                    with suppress(OSError, TimeoutError, LinkRefused):
                        reply = await self._ask_at(target, request)
                        break
            if isinstance(reply, Done):
                return
            if isinstance(reply, No) and not reply.again:
                raise NotJoined(reply.why)
            await asyncio.sleep(RETRY_SECONDS)
        raise NoLeader("no leader did it within the deadline")

    async def _ask_at(self, target: Address, request: Request) -> Reply | None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async with self._here.streams.open(target, SERVICE) as (reader, writer):
                reply = await ask(reader, writer, request)
            if isinstance(reply, No) and reply.leader is not None and reply.leader != target:
                async with self._here.streams.open(reply.leader, SERVICE) as (reader, writer):
                    reply = await ask(reader, writer, request)
        return reply

    def _leader_first(self) -> list[Address]:
        raft, book = self._here.raft, self._here.addresses
        if raft is None:
            return []
        order = [raft.leader, *sorted(raft.others)]
        found = [book[one] for one in order if one is not None and one in book]
        return list(dict.fromkeys(found))

    async def _copy(
        self, meta: Meta, member: str, reader: FrameReader, writer: FrameWriter
    ) -> None:
        copy = await asyncio.to_thread(boot.Copy, self._here.directory, meta, member)
        try:
            while piece := await reader.read():
                await asyncio.to_thread(copy.write, piece)
            await asyncio.to_thread(copy.end)
            while True:
                reply = await ask(reader, writer, More(copy.last_index + 1))
                if not isinstance(reply, Entries):
                    raise NotJoined("the leader changed on the way: try again")
                await asyncio.to_thread(copy.add, reply.entries)
                if reply.commit - copy.last_index <= NEAR:
                    break
            await asyncio.to_thread(copy.finish)
        finally:
            await asyncio.to_thread(copy.close)

    # What others ask

    async def _serve(self, peer: Hello, reader: FrameReader, writer: FrameWriter) -> None:
        while (frame := await reader.read()) is not None:
            request = request_in(frame)
            if isinstance(request, Fetch) and self._refuses(peer) is None:
                await self._serve_copy(reader, writer)
                return
            reply: Reply = No("this version does not know that question")
            if request is not None:
                reply = await self._answer(request, peer)
            await writer.write(encode(reply))

    async def _answer(self, request: Request, peer: Hello | None) -> Reply:
        match request:
            case Standing(index):
                return self._stand(peer, index)
            case Promise():
                return self._promise(peer)
            case Fetch() | Knock() if (refused := self._refuses(peer)) is not None:
                return refused
        if (refused := self._elsewhere()) is not None:
            return refused
        match request:
            case Knock(index) if peer is not None:
                return await self._count(peer, index)
            case Remove(name):
                return await self._remove(name)
            case Transfer(name):
                return await self._transfer(name)
        return No("asked out of turn")

    def _stand(self, peer: Hello | None, index: int) -> Stands:
        here, raft = self._here, self._here.raft
        if raft is None:
            return Stands(True, 0, {}, "", False)
        known = {one: here.addresses[one] for one in raft.members if one in here.addresses}
        out = peer is not None and peer.member not in raft.members and raft.applied >= index > 0
        return Stands(False, raft.applied, known, name_of(raft.leader or ""), out)

    def _promise(self, peer: Hello | None) -> Reply:
        """Whoever has promised once promises to nobody else, whatever happens meanwhile."""
        here = self._here
        if peer is None or here.raft is not None:
            return No("this node belongs to a cluster already")
        kept = promised(here.directory)
        if kept is None:
            keep_promise(here.directory, peer.name)
        elif kept != peer.name:
            return No(f"this node has promised to let {kept} form the cluster")
        return Done()

    def _refuses(self, peer: Hello | None) -> No | None:
        """Why this peer can never become a member; None when it may."""
        raft = self._here.raft
        if raft is None:
            return No("this node belongs to no cluster yet")
        if peer is None:
            return No("asked out of turn")
        if peer.schema != self._here.schema_number:
            return No(
                f"the cluster is at schema {self._here.schema_number}, {peer.name} (version "
                f"{peer.version}) at {peer.schema}: run the same version on both"
            )
        same = [one for one in raft.members if name_of(one) == peer.name and one != peer.member]
        if same:
            return No(
                f"a member called {peer.name} is there already: choose another name, or remove it "
                "first when its disk is gone"
            )
        for one in raft.peers.reachable() | {raft.member}:
            if one != peer.member and self._here.addresses.get(one) == peer.address:
                host, port = peer.address
                return No(
                    f"{peer.name} says that it is reached at {host}:{port}, but {name_of(one)} is: "
                    "each member needs an address or a port of its own"
                )
        return None

    def _elsewhere(self) -> No | None:
        """Where the leader is, when it is not here."""
        raft = self._here.raft
        if raft is None:
            return No("this node belongs to no cluster yet")
        if raft.ready:
            return None
        leader = self._here.addresses.get(raft.leader or "")
        return No("another member leads", leader if not raft.leading else None, again=True)

    async def _serve_copy(self, reader: FrameReader, writer: FrameWriter) -> None:
        refused = self._elsewhere()
        raft = self._here.raft
        if refused is not None or raft is None:
            await writer.write(encode(refused or No("this node belongs to no cluster yet")))
            return
        raft.snapshots.lent += 1
        try:
            await self._send_copy(raft, reader, writer)
        finally:
            raft.snapshots.lent -= 1

    async def _send_copy(self, raft: Raft, reader: FrameReader, writer: FrameWriter) -> None:
        folder = await self._here.snapshot()
        meta = load(folder)
        assert meta is not None
        digest = new_digest()
        with (folder / meta.file).open("rb") as file:
            named = msgspec.structs.replace(meta, addresses=dict(self._here.addresses))
            await writer.write(encode(named))
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                digest.update(piece)
                await writer.write(piece)
        if digest.digest() != meta.digest:
            raft.call(lambda: raft.snapshots.distrust(meta))
        await writer.write(b"")
        while (frame := await reader.read()) is not None:
            request = request_in(frame)
            reply: Reply = No("asked out of turn")
            if isinstance(request, More):
                entries, commit = await _await(_committed(raft, request.start))
                if entries is not None:
                    reply = Entries(entries, commit)
            await writer.write(encode(reply))

    async def _count(self, peer: Hello, index: int) -> Reply:
        raft = self._here.raft
        assert raft is not None
        if peer.member in raft.members:
            return Done()
        if raft.commit - index > BEHIND_MAX:
            return No(f"{peer.name} is {raft.commit - index} entries behind: it must join anew")
        host, port = peer.address
        log.info("%s is counted as a member at %s:%d", peer.member, host, port)
        return await self._change(raft, MemberChange(ADD, peer.member, host, port))

    async def _remove(self, name: str) -> Reply:
        raft = self._here.raft
        assert raft is not None
        found = [one for one in raft.members if name_of(one) == name]
        if not found:
            return Done()
        if found[0] == raft.member:
            if raft.alone:
                return No(f"{name} is the only member of its cluster")
            await self._transfer(None)  # a leader cannot remove itself; the next one is asked
            return No("leadership is handed over first", again=True)
        log.info("%s is removed", found[0])
        return await self._change(raft, MemberChange(REMOVE, found[0], "", 0))

    async def _change(self, raft: Raft, change: MemberChange) -> Reply:
        done, _ = await _await(lambda done: raft.change(change, lambda ok: done(ok, 0)))
        return Done() if done else No("another change is on its way", again=True)

    async def _transfer(self, name: str | None) -> Reply:
        raft = self._here.raft
        assert raft is not None
        found = [one for one in raft.members if name_of(one) == name]
        if name is not None and not found:
            return No(f"no member is called {name}")
        if found and found[0] == raft.member:
            return Done()
        target = found[0] if found else None
        asked, _ = await _await(lambda done: raft.transfer(target, lambda ok: done(ok, 0)))
        for _ in range(40 if asked else 0):
            await asyncio.sleep(0.05)
            if not raft.leading and raft.leader not in (None, raft.member):
                return Done()
        return No("the member to lead is not ready", again=True)


def _meta(frame: bytes) -> Meta:
    try:
        return msgspec.msgpack.decode(frame, type=Meta)
    except msgspec.MsgspecError:
        raise NotJoined("the other end sends no snapshot") from None


def _committed(raft: Raft, start: int) -> Callable[[Callable[[Any, int], None]], None]:
    return lambda done: raft.committed(start, ENTRIES_BYTES, done)


async def _await(ask: Callable[[Callable[[Any, int], None]], None]) -> tuple[Any, int]:
    """What a question to the tick thread is answered with."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, int]] = loop.create_future()

    def answered(value: Any, number: int) -> None:
        if not future.done():
            future.set_result((value, number))

    def called(value: Any, number: int) -> None:
        loop.call_soon_threadsafe(answered, value, number)

    ask(called)
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await future
