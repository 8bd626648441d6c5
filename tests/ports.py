"""Ports for the processes that tests start: none is handed out twice, nor taken by a connection."""

from __future__ import annotations

import itertools
import os
import socket

# Below the range from which systems take the near end of a connection (32768 and up on Linux), so
# that nothing slips in between asking and listening. Test processes that run side by side start
# far from one another.
_LOWEST, _HIGHEST = 10_000, 32_000
_next = itertools.count(os.getpid() * 211)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on, all different."""
    found: list[int] = []
    while len(found) < count:
        port = _LOWEST + next(_next) % (_HIGHEST - _LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
