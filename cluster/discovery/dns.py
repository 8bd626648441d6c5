"""Peers behind a DNS name, asked anew each time: SRV records with ports, or plain addresses."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.rdatatype import RdataType
from dns.resolver import NXDOMAIN, NoAnswer, NoNameservers

from cluster.discovery import PEERS_MAX, Peer, is_name

log = logging.getLogger(__name__)

ASK_SECONDS = 3.0
SRV_PREFIX = "_cluster._tcp."


class Dns:
    """Peers behind `hostname`, as a Kubernetes headless service has them.

    SRV records of `_cluster._tcp.HOSTNAME` come first (of `hostname` itself when it begins with
    `_`): their targets are stable names, whose first label is taken for the node's name, and they
    bring ports. Without any, the A and AAAA records with `port`. An answer that says that nobody is
    there counts; while no server answers, the last peers stay.

    `resolver` is for tests; without it, the machine's configuration is read again each time.
    """

    def __init__(self, hostname: str, port: int, resolver: Resolver | None = None) -> None:
        self._hostname = hostname
        self._port = port
        self._resolver = resolver
        self._last: list[Peer] = []
        self._failing = False

    async def peers(self) -> list[Peer]:
        try:
            resolver = self._resolver or Resolver()
            self._last = await self._ask(resolver)
            self._failing = False
        except (DNSException, OSError) as error:
            if not self._failing:
                log.warning("no answer about %s: %s", self._hostname, error)
            self._failing = True
        return list(self._last)

    async def close(self) -> None:
        pass

    async def _ask(self, resolver: Resolver) -> list[Peer]:
        is_service = self._hostname.startswith("_")
        service = self._hostname if is_service else SRV_PREFIX + self._hostname
        try:
            records = await _records(resolver, service, RdataType.SRV)
        except NoNameservers:
            # Some servers refuse what they do not know; the plain addresses decide.
            if is_service:
                raise
            records = []
        peers = [_of_service(record.target.to_text(), record.port) for record in records]
        if not peers and not is_service:
            peers = await self._addresses(resolver)
        return sorted(set(peers))[:PEERS_MAX]

    async def _addresses(self, resolver: Resolver) -> list[Peer]:
        kinds = (RdataType.A, RdataType.AAAA)
        answers = await asyncio.gather(
            *(_records(resolver, self._hostname, kind) for kind in kinds), return_exceptions=True
        )
        found = [answer for answer in answers if not isinstance(answer, BaseException)]
        if not found:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        return [Peer("", record.address, self._port) for answer in found for record in answer]


async def _records(resolver: Resolver, name: str, kind: RdataType) -> list[Any]:
    """The records of one kind; none for a name that does not exist, or not with this kind."""
    try:
        answer = await resolver.resolve(name, kind, lifetime=ASK_SECONDS, search=True)
    except (NXDOMAIN, NoAnswer):
        return []
    return list(answer)


def _of_service(target: str, port: int) -> Peer:
    host = target.rstrip(".")
    label = host.partition(".")[0]
    return Peer(label if is_name(label) else "", host, port)
