"""Which stored objects the tables point to: what may not be swept, and what each node must hold."""

from __future__ import annotations

from collections.abc import Iterator

from cluster import Record, View
from hexhub.schema import Kept, Release

CARRIERS: tuple[type[Record], ...] = (Release, Kept)
"""The records that point to objects."""


def of(record: Record | None) -> tuple[bytes, ...]:
    """The checksums that one record points to."""
    if isinstance(record, Release):
        both = (record.outer_checksum, record.docs_checksum)
        return tuple(checksum for checksum in both if checksum is not None)
    if isinstance(record, Kept):
        return (record.checksum,)
    return ()


def pointed_to(view: View) -> Iterator[bytes]:
    """Every checksum that a record points to; some more than once."""
    for carrier in CARRIERS:
        for record in view.scan(carrier):
            yield from of(record)
