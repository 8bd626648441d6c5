"""Connections on the tick thread: frames whole and in order, and nothing waits for a slow reader."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from pysyncobj.poller import createPoller

from cluster.links import FRAME_BYTES_MAX, Dialing, Hello, Link, Seal, answer, key_of
from cluster.wires import Poller, Wires

KEY = key_of(b"a secret of the whole cluster")
PEER = Hello(cluster="c", member="1/b", name="b", version="", schema=1, address=("", 0))


class Ends:
    """A wire, and the other end of it."""

    def __init__(self) -> None:
        dialing = Dialing(KEY)
        back, seal = answer(KEY, dialing.first)
        self.theirs: Seal = dialing.finish(back)
        mine, self.other = socket.socketpair()
        mine.setblocking(False)
        self.other.settimeout(5)
        self.poller: Poller = createPoller("poll")
        self.heard: list[bytes] = []
        self.events: list[str] = []
        self.wires = Wires(
            self.poller,
            connected=lambda member: self.events.append(f"connected {member}"),
            ended=lambda member: self.events.append(f"ended {member}"),
            receive=lambda member, frame: self.heard.append(frame),
        )
        self.wires.adopt(Link(mine, seal, PEER))

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.poller.poll(0.02)  # type: ignore[attr-defined]

    def read(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            found += self.other.recv(count - len(found))
        return found


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.wires.close()
    made.other.close()


def test_frames_arrive_whole_however_they_are_cut(ends: Ends) -> None:
    sent = ends.theirs.seal(b"first") + ends.theirs.seal(b"") + ends.theirs.seal(b"x" * 1000)
    for at in range(0, len(sent), 7):
        ends.other.sendall(sent[at : at + 7])
        ends.poll()
    assert ends.heard == [b"first", b"", b"x" * 1000]


def test_what_a_slow_reader_does_not_take_waits_and_arrives(ends: Ends) -> None:
    began = time.monotonic()
    frames = [bytes([at]) * 500_000 for at in range(8)]
    for frame in frames:
        assert ends.wires.send("1/b", frame)
    assert ends.wires.backlog("1/b") > 1_000_000
    assert time.monotonic() - began < 5
    for frame in frames:
        ends.other.setblocking(False)
        sealed = b""
        while len(sealed) < len(frame) + 20:
            ends.poll()
            try:
                sealed += ends.other.recv(len(frame) + 20 - len(sealed))
            except BlockingIOError:
                continue
        assert ends.theirs.open(sealed[4:]) == frame
    assert ends.wires.backlog("1/b") == 0


@pytest.mark.parametrize(
    "sent", [b"\xff" * 8, (FRAME_BYTES_MAX + 17).to_bytes(4, "big"), b"\0\0\0\x20" + b"x" * 32]
)
def test_what_is_no_frame_ends_the_connection(ends: Ends, sent: bytes) -> None:
    ends.other.sendall(sent)
    ends.poll(2)
    assert ends.events == ["connected 1/b", "ended 1/b"]
    assert not ends.wires.send("1/b", b"x")
    assert not ends.heard


def test_a_newer_connection_ends_the_older(ends: Ends) -> None:
    """C11: the older one must deliver nothing any more."""
    other = Ends()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    ends.other.sendall(ends.theirs.seal(b"late"))
    ends.wires.adopt(Link(mine, other.theirs, PEER))
    ends.poll(2)
    assert ends.events == ["connected 1/b", "ended 1/b", "connected 1/b"]
    assert not ends.heard
    other.wires.close()
    other.other.close()
    theirs.close()


def test_silence_ends_a_connection_but_not_the_silence_of_who_was_held_up(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("cluster.wires.time.monotonic", lambda: now)
    ends.wires.end_silent()
    now += 10
    ends.wires.end_silent()
    assert ends.wires.has("1/b")
    for _ in range(12):
        now += 0.2
        ends.wires.end_silent()
    assert not ends.wires.has("1/b")


def test_who_hangs_up_is_gone(ends: Ends) -> None:
    ends.other.close()
    ends.poll(2)
    assert ends.events[-1] == "ended 1/b"
