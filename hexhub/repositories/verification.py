"""What an upstream says is believed only after this: signature, repository, name, no step back."""

from __future__ import annotations

import base64
import zlib
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hexhub.errors import Malformed, Refused, UpstreamWrong
from hexhub.formats import registry as wire, signing_key
from hexhub.schema import PUBLIC

RESOURCE_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a resource as sent."""
PAYLOAD_SIZE_MAX = 128 * 1024 * 1024
"""Bytes of a resource inflated."""

REVERTIBLE = timedelta(hours=25)
"""A release may vanish for a day after it came (http-api.md §4.4), and a little."""
GONE_MAX = 3
"""Entries of a list that may go or shrink while nothing new appears: reverts."""

TAR_BLOCK = 512
PIECE = 1 << 20

HEXPM_KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApqREcFDt5vV21JVe2QNBEdvzk6w36aNFhVGWN5toNJRj"
    "RJ6m4hIuG4KaXtDWVLjnvct6MYMfqhC79HAGwyF+IqR6Q6a5bbFSsImgBJwz1oadoVKD6ZNetAuCIK84cjMrEFRk"
    "ELtEIPNHblCzUkkM3rS9+DPlnfG8hBvGi6tvQIuZmXGCxF/73hU0/MyGhbmEjIKRtG6b0sJYKelRLTPWXgK7s5pE"
    "Sgiwf2YC/2MGDXjAJfpfCd0RpLdvd4eRiXtVlE9qO9bND94E7PgQ/xqZJ1i2xWFndWa6nfFnRxZmCStCOZWYYPla"
    "xr+FZceFbpMwzTNs4g3d4tLNUcbKAIH40wIDAQAB"
)
"""hex.pm's public key (SubjectPublicKeyInfo); its fingerprint is in registry.md §6."""


@cache
def hexpm_key() -> RSAPublicKey:
    """The key that hex.pm signs with."""
    key = load_der_public_key(base64.b64decode(HEXPM_KEY))
    assert isinstance(key, RSAPublicKey)
    return key


def public_key(path: Path | None) -> RSAPublicKey:
    """The key of the configured file, or hex.pm's. Raises Refused."""
    if path is None:
        return hexpm_key()
    try:
        return signing_key.load_public_key(path.read_bytes())
    except OSError as error:
        raise Refused(f"UPSTREAM_PUBLIC_KEY_FILE: cannot read {path}: {error.strerror}") from None
    except Malformed as error:
        raise Refused(f"UPSTREAM_PUBLIC_KEY_FILE: {path}: {error}") from None


def payload(body: bytes, key: RSAPublicKey) -> bytes:
    """The signed payload of a resource. Raises UpstreamWrong."""
    try:
        return wire.unseal(body, key, size_max=PAYLOAD_SIZE_MAX)
    except Malformed as error:
        raise UpstreamWrong(str(error)) from None


def package(payload: bytes, name: str) -> wire.RegistryPackage:
    """A payload that must be this package of the public repository. Raises UpstreamWrong."""
    try:
        found = wire.decode_package(payload)
    except Malformed as error:
        raise UpstreamWrong(str(error)) from None
    _check("repository", found.repository, PUBLIC)
    _check("name", found.name, name)
    return found


def repository(found: str) -> None:
    """Check the name of the repository in `names` or `versions`. Raises UpstreamWrong."""
    _check("repository", found, PUBLIC)


def _check(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise UpstreamWrong(f"registry resource: its {what} is {found[:64]!r}, not {wanted!r}")


def archive(body: bytes) -> None:
    """Check that unsigned bytes are a whole gzip of a tar. Raises UpstreamWrong.

    What is in it is not judged here: the upstream's archives are passed on as they are, and
    unpacked with care.
    """
    inflate = zlib.decompressobj(wbits=31)
    size, head, rest = 0, b"", body
    try:
        while not inflate.eof:
            piece = inflate.decompress(rest, PIECE)
            rest = inflate.unconsumed_tail
            if not piece and not rest and not inflate.eof:
                raise UpstreamWrong("docs archive: cut")
            head = (head + piece)[:TAR_BLOCK] if len(head) < TAR_BLOCK else head
            size += len(piece)
            if size > PAYLOAD_SIZE_MAX:
                raise UpstreamWrong(f"docs archive: more than {PAYLOAD_SIZE_MAX} bytes")
    except zlib.error:
        raise UpstreamWrong("docs archive: not gzip") from None
    if head[257:262] != b"ustar" and head != bytes(TAR_BLOCK):
        raise UpstreamWrong("docs archive: not a tar")


def no_step_back(old: wire.RegistryPackage, new: wire.RegistryPackage, fetched: datetime) -> None:
    """Refuse an older state of a package that is replayed (mirror.md §2.3). Raises UpstreamWrong.

    `fetched`: when the old state was seen. Releases may go while they are young, and others when
    something new came: that state cannot be older.
    """
    before = {release.version: release for release in old.releases}
    after = {release.version for release in new.releases}
    if after - before.keys():
        return
    gone = [
        version
        for version, release in before.items()
        if version not in after
        and (release.published_at is None or release.published_at < fetched - REVERTIBLE)
    ]
    if gone:
        raise UpstreamWrong(
            f"{new.name} was rolled back: {gone[0]} is gone and nothing new is there"
        )


def no_older_list(old: dict[str, bytes], new: dict[str, bytes], *, dated: bool) -> None:
    """Refuse an older `names` or `versions` that is replayed: entries by name. Raises UpstreamWrong.

    Reverts take a few entries away; when more go and nothing is newer, this is the past. `dated`
    entries say when they changed (`names`); of others (`versions`) the longer one is the newer.
    """
    if new.keys() - old.keys():
        return
    gone = len(old.keys() - new.keys())
    changed = [name for name, entry in new.items() if entry != old[name]]
    if dated:
        before, after = (_dates(of, changed) for of in (old, new))
        newer = any(after[name] > before[name] for name in changed)
    else:
        newer = any(len(new[name]) > len(old[name]) for name in changed)
    if not newer and gone + len(changed) > GONE_MAX:
        raise UpstreamWrong("the registry was rolled back: entries are gone and none is newer")


def _dates(entries: dict[str, bytes], names: list[str]) -> dict[str, float]:
    payload = wire.join((entries[name] for name in names), PUBLIC)
    try:
        found = wire.decode_names(payload)
    except Malformed as error:
        raise UpstreamWrong(str(error)) from None
    return {
        entry.name: entry.updated_at.timestamp() if entry.updated_at else 0.0
        for entry in found.packages
    }
