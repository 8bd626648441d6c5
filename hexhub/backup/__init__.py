"""A hub in one file: everything of one moment, checked by hashes, restored into an empty node.

A backup is a gzipped tar, written and read as a stream:

    header.json        what this is, of which hub, which key signs; the wrapped keys (Header)
    secret             the root secret under the passphrase; absent with `--without-secrets`
    tables/META, tables/snap-….mdb     a snapshot of the tables
    objects/HEX        tarballs and docs by SHA-256; absent with `--tables-only`
    manifest.json      SHA-256 and size of every member before it (Manifest): the last, so a file
                       that was cut off is never taken for a whole one
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from hexhub.errors import HubError

FORMAT = 1
HEADER, SECRET, MANIFEST = "header.json", "secret", "manifest.json"
TABLES, OBJECTS = "tables/", "objects/"
MEMBER = re.compile(
    r"header\.json|secret|manifest\.json|tables/(?:META|snap-[0-9]+-[0-9a-f]+\.mdb)"
    r"|objects/[0-9a-f]{64}"
)
"""The only names that a backup may hold."""
SMALL_MAX = 64 << 20
"""Bytes of a header or a manifest at most."""


class NotWhole(HubError):
    """A backup that is cut off, was changed, or is none; or a secret that does not open it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is. `keys` are the wrapped values of the tables, by name."""

    format: int
    version: str
    created_at: datetime
    node: str
    cluster: str
    applied: int
    schema: int
    fingerprint: str
    secrets: str
    """`wrapped` by a passphrase, or `none`."""
    tables_only: bool
    keys: dict[str, bytes]


class Member(msgspec.Struct, frozen=True):
    """Size in bytes and hex SHA-256 of one member."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Every member before this one; `missing` are objects that were not to be had, in hex."""

    members: dict[str, Member]
    missing: tuple[str, ...] = ()
