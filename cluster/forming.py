"""How a node without data finds its cluster: discovery proposes, promises decide."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol

from cluster.discovery import Peer
from cluster.errors import ClusterError, LinkRefused
from cluster.links import Address, Hello, text_of
from cluster.membership import Membership
from cluster.promises import keep_promise, promised
from cluster.settings import NodeSettings

log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.3


class Newcomer(Protocol):
    """A node that belongs to no cluster yet."""

    settings: NodeSettings
    waits_for: str

    @property
    def address(self) -> Address: ...
    @property
    def belongs(self) -> bool: ...
    async def join(self, target: Address) -> None: ...
    async def begin(self) -> None: ...


async def gather(node: Newcomer, membership: Membership) -> None:
    """Join whoever is there already; else form, among enough fresh nodes, by promise."""
    settings = node.settings
    directory, name, expect = settings.directory, settings.name, settings.expect
    discovery = settings.discovery
    while True:
        peers = [] if discovery is None else await discovery.peers()
        fresh, member = await first_of(membership, peers, node.address)
        if node.belongs:
            return
        if member is not None:
            node.waits_for = f"the data of the cluster at {text_of(member)}"
            try:
                await node.join(member)
                return
            except (ClusterError, OSError, TimeoutError) as error:
                node.waits_for = f"the cluster at {text_of(member)}: {error}"
                log.warning("not joined: %s", error)
        elif len(names := sorted({name, *fresh})) < expect or name in fresh:
            node.waits_for = f"{expect} fresh nodes, found {', '.join(names)}"
        elif names[0] != name or promised(directory) not in (None, name):
            node.waits_for = f"{promised(directory) or names[0]} to form the cluster"
        else:
            keep_promise(directory, name)
            asked = [membership.promise(address) for _, address in fresh.values()]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            if sum(answer is True for answer in answers) >= expect - 1:
                log.info("%s forms the cluster, promised by %s", name, ", ".join(fresh))
                await node.begin()
                return
            node.waits_for = "the promises of other fresh nodes"
        await asyncio.sleep(GATHER_SECONDS)


async def first_of(
    membership: Membership, peers: Iterable[Peer], me: Address
) -> tuple[dict[str, tuple[Hello, Address]], Address | None]:
    """Ask all of these: the fresh nodes by name, and the address of a member if there is one."""
    fresh: dict[str, tuple[Hello, Address]] = {}
    member: Address | None = None

    async def ask(address: Address) -> None:
        nonlocal member
        try:
            hello, stands = await membership.standing(address)
        except (OSError, TimeoutError, LinkRefused) as error:
            log.debug("%s:%d: %s", *address, error)
            return
        if stands.fresh:
            fresh[hello.name] = (hello, address)
        elif stands.leader or stands.members:
            member = address

    found = {(peer.host, peer.port) for peer in peers if peer.port} - {me}
    await asyncio.gather(*(ask(address) for address in sorted(found)))
    return fresh, member
