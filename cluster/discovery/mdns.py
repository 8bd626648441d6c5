"""Peers that announce themselves on the local network; the only file that knows zeroconf."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import time
from typing import Any

from zeroconf import Error, InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from cluster.discovery import PEERS_MAX, Peer, is_host, is_loopback, is_name

log = logging.getLogger(__name__)

ASK_SECONDS = 1.5
LOOK_SECONDS = 0.1


class Mdns:
    """Nodes of one `service`, such as `_store._tcp.local.`, and this node among them.

    A node whose address is of the loopback speaks on the loopback alone: others could not reach it.
    """

    def __init__(self, service: str, zeroconf: AsyncZeroconf) -> None:
        self._service = service
        self._zeroconf = zeroconf
        self._found: dict[str, None] = {}
        self._browser = AsyncServiceBrowser(zeroconf.zeroconf, service, handlers=[self._changed])

    @classmethod
    async def open(cls, service: str, address: str, me: Peer | None = None) -> Mdns:
        """Listen where `address` is, and announce `me`. OSError where there is no multicast."""
        zeroconf = AsyncZeroconf(interfaces=_interfaces(address))
        try:
            found = cls(service, zeroconf)
            if me is not None:
                await (await zeroconf.async_register_service(_announced(service, me)))
        except Error as error:
            await zeroconf.async_close()
            raise OSError(f"cannot announce {me}: {error}") from error
        except BaseException:
            await zeroconf.async_close()
            raise
        return found

    async def peers(self) -> list[Peer]:
        infos = [AsyncServiceInfo(self._service, name) for name in list(self._found)]
        answers = await asyncio.gather(*(self._ask(info) for info in infos))
        return sorted({peer for peer in answers if peer is not None})

    async def find(self, name: str, wait_s: float = ASK_SECONDS) -> list[Peer]:
        """Every node of this name, waiting `wait_s` seconds at most for the first."""
        deadline = time.monotonic() + wait_s
        while True:
            found = [peer for peer in await self.peers() if peer.name == name]
            if found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        await self._browser.async_cancel()
        await self._zeroconf.async_unregister_all_services()
        await self._zeroconf.async_close()

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            self._found.pop(name, None)
        elif len(self._found) < PEERS_MAX:
            self._found[name] = None

    async def _ask(self, info: AsyncServiceInfo) -> Peer | None:
        try:
            if not await info.async_request(self._zeroconf.zeroconf, ASK_SECONDS * 1000):
                return None
            return _peer(info)
        except (Error, OSError) as error:
            log.debug("no answer about %s: %s", info.name, error)
            return None


def _interfaces(address: str) -> Any:
    """Where to listen: at one address, or everywhere when it is a name or none in particular."""
    if is_loopback(address):
        return ["127.0.0.1" if address == "localhost" else address]
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return InterfaceChoice.All
    return InterfaceChoice.All if one.is_unspecified else [address]


def _announced(service: str, me: Peer) -> AsyncServiceInfo:
    """Two nodes may have one name for a while; what tells them apart is in the instance's name."""
    digest = hashlib.sha256(str(me).encode()).hexdigest()[:16]
    try:
        addresses = [str(ipaddress.ip_address(me.host))]
    except ValueError:
        addresses = []
    return AsyncServiceInfo(
        service,
        f"{digest}.{service}",
        port=me.port,
        parsed_addresses=addresses,
        properties={"name": me.name, "host": me.host},
        server=f"{digest}.local.",
    )


def _peer(info: AsyncServiceInfo) -> Peer | None:
    """What a node says of itself, unless it makes no sense."""
    said = info.decoded_properties
    name, host = said.get("name") or "", said.get("host") or ""
    if not (is_name(name) and is_host(host) and info.port):
        return None
    return Peer(name, host.lower(), info.port)
