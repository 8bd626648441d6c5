"""Read a backup: every member checked against the manifest, nothing believed before."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from hexhub.backup import (
    FORMAT,
    HEADER,
    MANIFEST,
    MEMBER,
    OBJECTS,
    SECRET,
    SMALL_MAX,
    Header,
    Manifest,
    Member,
    NotWhole,
    secret as locked,
)
from hexhub.domain import settings
from hexhub.errors import Malformed
from hexhub.formats import sealed, signing_key
from hexhub.schema import schema

CHUNK = 1 << 20
S = TypeVar("S", Header, Manifest)


@dataclass(frozen=True)
class Checked:
    """A whole backup; `size` is the sum of its members in bytes."""

    header: Header
    manifest: Manifest
    locked: bytes | None
    size: int

    @property
    def objects(self) -> int:
        return sum(name.startswith(OBJECTS) for name in self.manifest.members)


def verify(path: Path) -> Checked:
    """Read all of it and check every hash. Raises NotWhole."""
    return walk(path, lambda name, pieces: None)


def walk(path: Path, take: Callable[[str, Iterator[bytes]], None]) -> Checked:
    """Give each member of tables and objects to `take`, and check all of them.

    What `take` was given counts only when this returns: a flaw may be found at the very end. An
    object is besides checked against its name. Raises NotWhole.
    """
    seen: dict[str, Member] = {}
    header: Header | None = None
    secret: bytes | None = None
    manifest: Manifest | None = None
    with _opened(path) as archive:
        for info in archive:
            if not info.isreg() or not MEMBER.fullmatch(info.name) or info.name in seen:
                raise NotWhole(f"{path}: {info.name[:80]!r} does not belong in a backup")
            if manifest is not None:
                raise NotWhole(f"{path}: something comes behind the manifest")
            if (header is None) != (info.name == HEADER):
                raise NotWhole(f"{path} does not begin as a backup")
            file = archive.extractfile(info)
            assert file is not None
            pieces = _Pieces(file)
            if info.name == HEADER:
                header = known(_decoded(_small(info, pieces), Header))
            elif info.name == SECRET:
                secret = _small(info, pieces)
            elif info.name == MANIFEST:
                manifest = _decoded(_small(info, pieces), Manifest)
                continue
            else:
                take(info.name, iter(pieces))
            seen[info.name] = pieces.member()
            if (
                info.name.startswith(OBJECTS)
                and info.name[len(OBJECTS) :] != seen[info.name].sha256
            ):
                raise NotWhole(f"{path}: {info.name} does not have its checksum")
    if header is None or manifest is None:
        raise NotWhole(f"{path} is cut off: it has no manifest")
    if manifest.members != seen:
        wrong = {
            name
            for name in {*seen, *manifest.members}
            if seen.get(name) != manifest.members.get(name)
        }
        raise NotWhole(f"{path}: not as it was written: {', '.join(sorted(wrong)[:5])}")
    return Checked(header, manifest, secret, sum(member.size for member in seen.values()))


def beginning(path: Path) -> tuple[Header, bytes | None]:
    """Header and locked secret, without reading the rest. Raises NotWhole."""
    with _opened(path) as archive:
        header: Header | None = None
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            if info.name == HEADER and file is not None:
                header = known(_decoded(_small(info, _Pieces(file)), Header))
                if header.secrets == "none":
                    return header, None
            elif info.name == SECRET and header is not None and file is not None:
                return header, _small(info, _Pieces(file))
            else:
                break
    raise NotWhole(f"{path} does not begin as a backup")


def prove(header: Header, root: bytes) -> None:
    """That this root secret opens the keys of the backup, and that the signing key is the one
    whose fingerprint the header names. Raises NotWhole."""
    try:
        pem = sealed.unwrap(root, settings.SIGNING_KEY, header.keys[settings.SIGNING_KEY])
        sealed.unwrap(root, settings.HASHING_KEY, header.keys[settings.HASHING_KEY])
        found = signing_key.fingerprint(signing_key.load_private_key(pem))
    except KeyError:
        raise NotWhole("the backup holds no signing key") from None
    except Malformed:
        raise NotWhole(
            "the secret does not open the signing key of this backup: give the SECRET_KEY_BASE "
            "that its hub had"
        ) from None
    if found != header.fingerprint:
        raise NotWhole(f"the signing key is {found}, the backup says {header.fingerprint}")


def root_of(header: Header, secret: bytes | None, passphrase: str | None) -> bytes | None:
    """The root secret that a backup carries; None when it carries none. Raises NotWhole."""
    if header.secrets == "none" or secret is None:
        return None
    if passphrase is None:
        raise NotWhole("the secrets of this backup are wrapped: give --passphrase-file")
    return locked.unlock(secret, passphrase)


def known(header: Header) -> Header:
    """The header, if this version can read what it announces. Raises NotWhole."""
    if header.format > FORMAT or header.schema > schema.number:
        raise NotWhole(
            f"this backup is of a newer HexHub ({header.version}): format {header.format}, "
            f"schema {header.schema}; this one knows {FORMAT} and {schema.number}"
        )
    return header


class _Pieces:
    """A member, read once, hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(CHUNK):
            self._digest.update(piece)
            self._size += len(piece)
            yield piece

    def member(self) -> Member:
        """What was read; the rest is read first."""
        for _ in self:
            pass
        return Member(self._size, self._digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with gzip.open(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise NotWhole(f"{path} cannot be read as a backup: {error}") from None


def _small(info: tarfile.TarInfo, pieces: _Pieces) -> bytes:
    if info.size > SMALL_MAX:
        raise NotWhole(f"{info.name} is too big")
    return b"".join(pieces)


def _decoded(body: bytes, type: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.MsgspecError as error:
        raise NotWhole(f"the {type.__name__.lower()} cannot be read: {error}") from None
