"""What answers that were sent again count: downloads, and hits of the mirror."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from hexhub.http.tallies import Tallies
from hexhub.hub import Hub
from hexhub.schema import Release

What: TypeAlias = tuple[str, ...]


def download(release: Release) -> What:
    """A fetch of this tarball."""
    return ("download", release.repository, release.package, release.version)


MIRRORED: What = ("mirrored",)
"""An answer from a copy of the upstream's."""


def count(hub: Hub, hits: Mapping[What, int]) -> None:
    """Add so many of each."""
    for what, times in hits.items():
        match what:
            case ("download", repository, package, version):
                hub.counters.downloads(repository, package, version, hub.now(), times)
            case ("mirrored",) if hub.mirror is not None:
                hub.mirror.mirrored.answers["hit"] += times


def counting(hub: Hub, tallies: Tallies) -> Callable[[What], None]:
    """Counts one of each: downloads are summed until counters are flushed."""
    hub.counters.sources.append(lambda: count(hub, tallies.take_hits()))

    def one(what: What) -> None:
        if what is MIRRORED:
            count(hub, {what: 1})
        else:
            tallies.hit(what)

    return one
