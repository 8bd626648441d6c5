"""SHA-256 of what lies in memory, without giving the interpreter away where that costs more."""

from __future__ import annotations

import hashlib
import mmap
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

SMALL_MAX = 64 * 1024
"""Bytes that are hashed in less time than it takes to get the interpreter back."""
PIECE = 2047
"""Above this hashlib lets other threads take the interpreter."""


def sha256(*parts: Buffer) -> bytes:
    """The digest of these parts, one behind the other: 32 bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if len(part) > SMALL_MAX:
            digest.update(part)
            continue
        with memoryview(part) as view:
            for start in range(0, len(view), PIECE):
                digest.update(view[start : start + PIECE])
    return digest.digest()
