"""Clocks that jump, in real processes: libfaketime moves the time of day, never the monotonic one."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from tests.end_to_end.members import start, until
from tests.end_to_end.node import PASSWORD, RunningNode
from tests.end_to_end.person import Person
from tests.hexhub.packages import package
from tests.programs import cannot


class Clock:
    """The time of day of one process, as far from the real one as it is told."""

    def __init__(self, file: Path) -> None:
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            cannot("libfaketime is not installed")
        self._file = file
        self.set("+0")
        self.settings = {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, offset: str) -> None:
        """`+2d`, `-3h`, `+0`."""
        new = self._file.with_name(self._file.name + ".new")
        new.write_text(offset + "\n")
        new.rename(self._file)


@pytest.mark.long
def test_a_node_goes_on_when_its_clock_jumps_forth_and_back(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    node = RunningNode(tmp_path, clock.settings)
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        node.must_publish(package("one"), key)
        person = Person(node)
        person.sign_in("mara", PASSWORD)
        assert b"Sign in" not in person.get("/dashboard").body
        for number, offset in enumerate(("+20d", "-20d", "+2d", "+0")):
            clock.set(offset)
            assert node.request("GET", "/health").status == 200
            node.must_publish(package(f"at_{number}"), key)
            assert node.request("GET", f"/tarballs/at_{number}-1.0.0.tar").status == 200
            assert node.request("GET", "/api/users/me", key=key).status == 200
            assert b"Sign in" not in person.get("/dashboard").body, offset
            assert node.command("storage", "sweep") == "0 deleted"
        clock.set("+61d")  # a session is good for thirty days behind its last use
        assert b"Sign in" in person.get("/dashboard").body
        person.sign_in("mara", PASSWORD)
        clock.set("+0")
        assert node.request("GET", "/api/users/me", key=key).status == 200
        fresh = Person(node)
        fresh.sign_in("mara", PASSWORD)
        assert b"Sign in" not in fresh.get("/dashboard").body
    finally:
        assert node.stop() == 0
    node.restart()
    try:
        assert node.request("GET", "/tarballs/at_0-1.0.0.tar").body == package("at_0")
        node.must_publish(package("again"), key)
    finally:
        assert node.stop() == 0


@pytest.mark.long
def test_a_member_whose_clock_jumps_takes_writes_and_serves_nothing_that_was_revoked(
    tmp_path: Path,
) -> None:
    clock = Clock(tmp_path / "clock")
    (tmp_path / "cluster").mkdir()
    members = start(tmp_path / "cluster", 3, own={"hub2": clock.settings})
    try:
        members.wait_until_healthy()
        odd = members.nodes[1]
        others = members.others(odd)
        others[0].create_user("mara")
        key = others[0].create_key("mara", "api")

        def leads() -> bool:
            leader = members.leader
            return leader is odd or not leader.try_command("cluster", "transfer", "hub2")

        until(leads, "it leads")
        for number, offset in enumerate(("+2d", "-2d", "+5m", "+0")):
            clock.set(offset)
            for node in members:
                node.must_publish(package(f"{node.name}_{number}"), key)
            doomed = others[0].create_key("mara", "api", name=f"doomed {number}")
            assert odd.request("GET", "/api/users/me", key=doomed).status == 200
            others[1].command("key", "revoke", f"doomed {number}", "--user", "mara")
            for node in members:
                assert node.request("GET", "/api/users/me", key=doomed).status == 401
            person = Person(others[0])
            person.sign_in("mara", PASSWORD)
            person._node = odd  # the session of one member, at the member whose clock is wrong
            assert b"Sign in" not in person.get("/dashboard").body
    finally:
        members.stop()
