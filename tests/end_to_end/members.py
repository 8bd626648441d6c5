"""Several nodes of one cluster, each a real process that can be killed and started again."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tests.end_to_end.node import ROOT, RunningNode
from tests.ports import free_ports

T = TypeVar("T")

SECRET = "a secret that all members of the test share, and nobody else"
PATIENCE_S = 60.0


class MemberNode(RunningNode):
    """A node with a name of its own, which shares the secret with the others."""

    def __init__(
        self, folder: Path, name: str, settings: Mapping[str, str], root: Path = ROOT
    ) -> None:
        folder.mkdir()
        self.name = name
        given = {"NODE_NAME": name, "SECRET_KEY_BASE": SECRET, **settings}
        super().__init__(folder, given, root)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again on its data."""
        self._start()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def state(self) -> dict[str, Any]:
        """`/api/cluster/status`; nothing while the node does not answer."""
        try:
            value: dict[str, Any] = self.request("GET", "/api/cluster/status").json()
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        return value

    def healthy_among(self, count: int) -> bool:
        """Whether it would take writes, and knows `count` members that answer."""
        state = self.state()
        members = [each for each in state.get("members", []) if each["reachable"]]
        return bool(state.get("quorum")) and len(members) == count


def until(check: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Look again and again until there is something; the test fails when it takes too long."""
    deadline = time.monotonic() + patience_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(0.1)


class Members:
    """Nodes that are to be one cluster."""

    def __init__(self, nodes: list[MemberNode]) -> None:
        self.nodes = nodes

    def __iter__(self) -> Any:
        return iter(self.nodes)

    @property
    def leader(self) -> MemberNode:
        """The node that leads now, by the word of one that would take a write."""

        def found() -> MemberNode | None:
            for node in self.nodes:
                state = node.state() if node.runs else {}
                if state.get("quorum") and state.get("leader"):
                    return next(n for n in self.nodes if n.name == state["leader"])
            return None

        return until(found, "a leader")

    def others(self, than: MemberNode) -> list[MemberNode]:
        return [node for node in self.nodes if node is not than]

    def wait_until_healthy(self) -> None:
        """Until every node runs, is a member with all others, and has caught up."""
        until(
            lambda: all(node.healthy_among(len(self.nodes)) for node in self.nodes),
            f"healthy: {[node.state() for node in self.nodes]}",
        )

    def stop(self) -> list[int]:
        """End all at once; their exit codes."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(_stop, self.nodes))


def _stop(node: MemberNode) -> int:
    return node.stop() if node.runs else 0


def start(
    folder: Path,
    count: int,
    *,
    together: bool = True,
    own: Mapping[str, Mapping[str, str]] | None = None,
    root: Path = ROOT,
    **settings: str,
) -> Members:
    """Start `count` fresh nodes at once; `together`: they find one another and form a cluster.

    `own` are settings of one node, by its name; `root` is the checkout whose code they run.
    """
    ports = free_ports(count)
    names = [f"hub{number}" for number in range(1, count + 1)]
    listed = ",".join(f"{name}@127.0.0.1:{port}" for name, port in zip(names, ports, strict=True))
    meeting = {"CLUSTERING_ENABLED": "true", "CLUSTER_NODES": listed} if together else {}

    def one(number: int) -> MemberNode:
        name = names[number]
        given = {
            "CLUSTER_PORT": str(ports[number]),
            **meeting,
            **settings,
            **(own or {}).get(name, {}),
        }
        return MemberNode(folder / name, name, given, root)

    nodes: list[MemberNode] = []
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        for node in pool.map(one, range(count)):
            stack.callback(node.kill)
            nodes.append(node)
        stack.pop_all()
    return Members(nodes)
