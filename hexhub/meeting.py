"""How nodes find one another: by the settings, and by what an operator writes as `name@host`."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from cluster.discovery import Discovery, Fixed, Peer, Several, is_loopback, split
from hexhub import running
from hexhub.config import Config
from hexhub.errors import Invalid

if TYPE_CHECKING:
    from cluster.discovery.mdns import Mdns

SERVICE = "_hexhub._tcp.local."
DEFAULT_CLUSTER_PORT = 5000
"""CLUSTER_PORT of a node whose PORT is not set."""
FIND_S = 1.5
UNSPECIFIED = frozenset({"0.0.0.0", "::"})


class Neighbours:
    """The nodes that run from a checkout, as they announce themselves in its files."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout

    async def peers(self) -> list[Peer]:
        found = await asyncio.to_thread(running.nodes, self._checkout)
        return [Peer(n.name, n.cluster_host, n.cluster_port) for n in found if n.cluster_port]

    async def close(self) -> None:
        pass


class Meeting:
    """The ways of one node to others; open from start to end."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._neighbours = Neighbours(config.checkout)
        self._mdns: Mdns | None = None
        self.port = config.cluster_port

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Config) -> AsyncIterator[Meeting]:
        """Announce this node where it is to be found by mDNS; that takes a moment, behind us."""
        meeting = cls(config)
        announcing = None
        if meeting._announces:
            announcing = asyncio.create_task(meeting._announce())
        try:
            yield meeting
        finally:
            if announcing is not None:
                announcing.cancel()
                await asyncio.gather(announcing, return_exceptions=True)
            if meeting._mdns is not None:
                await meeting._mdns.close()

    @property
    def _announces(self) -> bool:
        """On the loopback a checkout's files tell of its nodes; only a cluster-to-be says more."""
        config = self._config
        wanted = config.clustering_enabled or not is_loopback(config.cluster_advertise)
        return wanted and config.cluster_discovery_type == "mdns"

    async def _announce(self) -> None:
        host, port = advertised(self._config)
        try:
            self._mdns = await _listen(host, Peer(self._config.node_name, host, port))
        except OSError as error:
            structlog.get_logger().warning("no mDNS here", reason=str(error))

    @property
    def discovery(self) -> Discovery:
        """What proposes members, by CLUSTER_DISCOVERY_TYPE."""
        config = self._config
        if config.cluster_discovery_type == "nodes":
            return _Listed(self, config.cluster_nodes)
        if config.cluster_discovery_type == "dns" and config.cluster_dns_hostname:
            from cluster.discovery.dns import Dns

            return Dns(config.cluster_dns_hostname, config.cluster_port)
        if is_loopback(config.cluster_advertise):
            return Several([self._neighbours, _Announced(self)])
        return _Announced(self)

    async def announced(self) -> list[Peer]:
        """Who announces itself by mDNS now."""
        return await self._mdns.peers() if self._mdns is not None else []

    async def resolve(self, target: str) -> Peer:
        """Where `name@host[:port]` listens for members: without a port by this checkout's files, by
        mDNS, and else at the default port. Raises Invalid.
        """
        try:
            name, host, port = split(target)
        except ValueError as error:
            raise Invalid({"target": str(error)}) from None
        peer = Peer(name, host, DEFAULT_CLUSTER_PORT if port is None else port)
        if port is not None:
            return peer
        for found in (await self.of_checkout(peer), await self._of_mdns(peer)):
            ports = {each.port for each in found}
            if len(ports) > 1:
                raise Invalid({"target": f"several nodes are called {peer.name}: give the port"})
            if ports:
                return Peer(peer.name, peer.host, ports.pop())
        return peer

    async def of_checkout(self, peer: Peer) -> list[Peer]:
        """Nodes of that name in this checkout, if the address is of this machine."""
        if not is_loopback(peer.host):
            return []
        return [each for each in await self._neighbours.peers() if each.name == peer.name]

    async def _of_mdns(self, peer: Peer) -> list[Peer]:
        if self._mdns is not None:
            return _best(await self._mdns.find(peer.name, FIND_S), peer.host)
        try:
            mdns = await _listen(peer.host if is_loopback(peer.host) else "", None)
        except OSError:
            return []
        try:
            return _best(await mdns.find(peer.name, FIND_S), peer.host)
        finally:
            await mdns.close()


class _Listed:
    """The nodes of CLUSTER_NODES; one without a port has this node's, or is of this checkout."""

    def __init__(self, meeting: Meeting, texts: tuple[str, ...]) -> None:
        self._meeting = meeting
        self._texts = texts

    async def peers(self) -> list[Peer]:
        return await Fixed([await self._peer(text) for text in self._texts]).peers()

    async def _peer(self, text: str) -> Peer:
        name, host, port = split(text)
        peer = Peer(name, host, self._meeting.port if port is None else port)
        found = [] if port is not None else await self._meeting.of_checkout(peer)
        return Peer(name, host, found[0].port) if found else peer

    async def close(self) -> None:
        pass


class _Announced:
    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting

    async def peers(self) -> list[Peer]:
        return await self._meeting.announced()

    async def close(self) -> None:
        pass


def advertised(config: Config) -> tuple[str, int]:
    """Where other members dial this node: CLUSTER_ADVERTISE, or the name of a machine that listens
    everywhere.
    """
    host = config.cluster_advertise
    return (socket.gethostname() if host in UNSPECIFIED else host), config.cluster_port


def bound(config: Config) -> tuple[str, int]:
    """Where this node listens for members: at CLUSTER_ADVERTISE; where HTTP does if that is a name."""
    host = config.cluster_advertise
    is_name = not (host in UNSPECIFIED or is_loopback(host) or _is_address(host))
    return (config.host if is_name else host), config.cluster_port


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


async def _listen(address: str, me: Peer | None) -> Mdns:
    """zeroconf is large: imported only here, and off the event loop."""
    module = await asyncio.to_thread(importlib.import_module, "cluster.discovery.mdns")
    found: Mdns = await module.Mdns.open(SERVICE, address or "0.0.0.0", me)
    return found


def _best(found: list[Peer], host: str) -> list[Peer]:
    """Those at this very host, if any is."""
    return [peer for peer in found if peer.host == host] or found
