"""Copy every object from one storage into another, while both are in use. Run again, it goes on.

What is there already is left; what is copied is read back from the target and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from hexhub.errors import HubError
from hexhub.storage import Storage
from hexhub.storage.spool import Spool


class Asked(Storage, Protocol):
    """A storage that can say what it lacks."""

    async def missing(self, checksums: Iterable[bytes]) -> list[bytes]:
        """Which of these are not here."""
        ...


@dataclass
class Report:
    """What a run did; sizes in bytes, `failed` by hex checksum with the reason."""

    wanted: int = 0
    there: int = 0
    copied: int = 0
    copied_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def migrate(
    source: Asked,
    target: Asked,
    spool: Spool,
    progress: Callable[[Report], None],
    *,
    read_back: bool = True,
) -> Report:
    """Bring everything over; one object that fails does not stop the others."""
    names = sorted([each async for each in source.names()])
    report = Report(wanted=len(names))
    for checksum, size, _ in names:
        try:
            if not await target.missing([checksum]):
                report.there += 1
            else:
                blob = await source.open(checksum)
                async with spool.take(blob.chunks(0, blob.size), size) as spooled:
                    if spooled.checksum != checksum:
                        raise HubError("the source does not have its checksum any more")
                    await target.put(spooled)
                if read_back:
                    await _compare(target, checksum)
                report.copied += 1
                report.copied_bytes += size
        except (HubError, OSError) as error:
            report.failed[checksum.hex()] = str(error) or type(error).__name__
        progress(report)
    return report


async def _compare(target: Storage, checksum: bytes) -> None:
    blob = await target.open(checksum)
    digest = hashlib.sha256()
    async for chunk in blob.chunks(0, blob.size):
        digest.update(chunk)
    if digest.digest() != checksum:
        raise HubError("the target gives back other bytes")
