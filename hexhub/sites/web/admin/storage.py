"""Where objects are kept: how much, whether they are sound, and a test that writes one."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import objects
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.jobs import Progress, Work
from hexhub.sites.web.admin import gate, jobs, usage
from hexhub.sites.web.spoken import counted, size
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.peers import PeerStorage
from hexhub.storage.probe import Step, probe
from hexhub.storage.s3 import S3Storage

COUNTED_AT_ONCE = 500


def routes(used: usage.Usage) -> Routes:
    """The page of a node, with the sums that it remembers."""
    found = Routes(gate.administration)

    @found.get("/storage", allow=gate.LOOKS)
    async def show(call: Call) -> StreamResponse:
        """What is kept."""
        return await _page(call, used)

    @found.post("/storage/test", allow=gate.CHANGES)
    async def test(call: Call) -> StreamResponse:
        """Write an object, read it back, delete it."""
        steps = await probe(call.hub.storage, call.hub.spool)
        return await _page(call, used, steps)

    @found.post("/storage/count", allow=gate.CHANGES)
    async def count(call: Call) -> StreamResponse:
        """Go through all objects in the background."""
        begin = call.hub.jobs.begin
        node = call.hub.node.settings.name
        return jobs.to(
            await begin(call.origin, "storage.count", node, counting(call.hub), unit="object")
        )

    return found


async def _page(call: Call, used: usage.Usage, steps: list[Step] | None = None) -> Response:
    hub = call.hub
    status = hub.node.status()
    cached = hub.storage if isinstance(hub.storage, HybridStorage) else None
    return gate.page(
        "storage.html",
        kind=kind_of(hub),
        node=status.node,
        several=len(status.members) > 1,
        sums=await used.sums(hub),
        disk=await usage.disk(hub),
        free=status.disk_free,
        damaged=hub.storage.damaged,
        behind=hub.storage.behind,
        cached=cached,
        steps=steps,
        failed=next((step for step in steps or () if step.wrong), None),
    )


def kind_of(hub: Hub) -> str:
    """What STORAGE_TYPE came to, in words."""
    storage = hub.storage
    if isinstance(storage, S3Storage):
        return f"the bucket {storage.bucket_name}"
    if isinstance(storage, HybridStorage):
        return f"the bucket {storage.bucket.bucket_name}, with copies on this node's disk"
    if isinstance(storage, PeerStorage) and len(hub.node.members()) > 1:
        return "the disk of every member of the cluster"
    return "the disk of this node"


def counting(hub: Hub) -> Work:
    """Counts every object, and those that nothing points to."""

    async def work(progress: Progress) -> str:
        with hub.store.view() as view:
            keep = set(objects.pointed_to(view))
        progress.expect(len(keep))
        count = total = stray = stray_size = since = 0
        async for checksum, octets, _ in hub.storage.names():
            count, total, since = count + 1, total + octets, since + 1
            if checksum in keep:
                keep.discard(checksum)
            else:
                stray, stray_size = stray + 1, stray_size + octets
            if since == COUNTED_AT_ONCE:
                progress.step(since)
                since = 0
        progress.step(since)
        said = f"{counted(count, 'object')}, {size(total)}."
        if stray:
            said += (
                f" Nothing points to {stray:,} of them ({size(stray_size)}): the sweep takes them."
            )
        if keep:
            progress.step(0, failed=True, note=f"missing: {sorted(keep)[0].hex()}")
            said += f" {counted(len(keep), 'object')} missing here."
        return said

    return work
