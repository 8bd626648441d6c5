"""Where registry resources come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignedResource:
    """A file of the registry as clients fetch it, and its strong ETag (quoted)."""

    body: bytes
    etag: str
