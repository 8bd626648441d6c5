"""Small objects kept in memory by checksum."""

from __future__ import annotations

from collections import OrderedDict

MEMORY_MAX = 64 * 1024 * 1024


class SmallBlobs:
    """Small objects by checksum, the least recently used ones dropped first."""

    def __init__(self, size_max: int = MEMORY_MAX) -> None:
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0
        self._size_max = size_max

    def get(self, checksum: bytes) -> bytes | None:
        body = self._kept.get(checksum)
        if body is not None:
            self._kept.move_to_end(checksum)
        return body

    def put(self, checksum: bytes, body: bytes) -> None:
        if checksum in self._kept:
            return
        self._kept[checksum] = body
        self._size += len(body)
        while self._size > self._size_max:
            self._size -= len(self._kept.popitem(last=False)[1])
