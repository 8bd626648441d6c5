"""A package resource of the registry, verified and read as a client does (registry.md §2, §3)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Value = int | bytes


@dataclass(frozen=True)
class Dependency:
    """One dependency of a release; None where the registry leaves a field out."""

    package: str
    requirement: str
    optional: bool
    app: str | None
    repository: str | None


@dataclass(frozen=True)
class Release:
    """One release as the registry tells it; checksums in lower-case hex."""

    version: str
    inner_checksum: str
    outer_checksum: str
    dependencies: tuple[Dependency, ...]
    retired: bool


@dataclass(frozen=True)
class Package:
    """A `packages/NAME` resource."""

    name: str
    repository: str
    releases: tuple[Release, ...]


def read_package(resource: bytes, public_key: str) -> Package:
    """Verify the signature with the pinned key and decode; raises when anything is wrong."""
    payload = verified_payload(resource, public_key)
    releases = [_release(value) for number, value in _fields(payload) if number == 1]
    texts = dict(_fields(payload))
    return Package(_string(texts[2]), _string(texts[3]), tuple(releases))


def read_names(resource: bytes, public_key: str) -> list[str]:
    """The package names of a `names` resource, in its order."""
    payload = verified_payload(resource, public_key)
    packages = [value for number, value in _fields(payload) if number == 1]
    return [_string(dict(_fields(_bytes(each)))[1]) for each in packages]


def verified_payload(resource: bytes, public_key: str) -> bytes:
    """The payload of a signed resource; an exception when its signature is not the key's."""
    signed = dict(_fields(gzip.decompress(resource)))
    key = serialization.load_pem_public_key(public_key.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    payload = _bytes(signed[1])
    key.verify(_bytes(signed[2]), payload, padding.PKCS1v15(), hashes.SHA512())
    return payload


def _release(value: Value) -> Release:
    message = _bytes(value)
    fields = dict(_fields(message))
    return Release(
        version=_string(fields[1]),
        inner_checksum=_bytes(fields[2]).hex(),
        outer_checksum=_bytes(fields[5]).hex(),
        dependencies=tuple(_dependency(each) for n, each in _fields(message) if n == 3),
        retired=4 in fields,
    )


def _dependency(value: Value) -> Dependency:
    fields = dict(_fields(_bytes(value)))
    return Dependency(
        package=_string(fields[1]),
        requirement=_string(fields[2]),
        optional=fields.get(3) == 1,
        app=_string(fields[4]) if 4 in fields else None,
        repository=_string(fields[5]) if 5 in fields else None,
    )


def _fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a protobuf message in order: varints as int, everything else as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value: Value
        if key & 7 == 0:
            value, at = _varint(message, at)
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _bytes(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value


def _string(value: Value) -> str:
    return _bytes(value).decode()
