"""The envelope of registry resources: gzip(Signed{payload, RSA signature}) (registry.md §2)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA512
from google.protobuf.message import DecodeError

from hexhub.errors import Malformed
from hexhub.formats import registry_pb2 as pb

GZIP = 31  # zlib's window bits for one gzip member; no time and no name in the header
RAW = -15  # the same for a part of a member
GZIP_HEAD = bytes.fromhex("1f8b0800000000000003")  # deflate, no flags, no time, written on Unix
WINDOW = 32_768  # bytes before a place that deflate can refer to


def sign(payload: bytes, key: RSAPrivateKey) -> bytes:
    """PKCS#1 v1.5 over SHA-512: the same key and payload always give the same bytes."""
    return key.sign(payload, PKCS1v15(), SHA512())


def seal(payload: bytes, key: RSAPrivateKey) -> bytes:
    """The body of a registry resource; equal bytes on every node."""
    signed = pb.Signed(payload=payload, signature=sign(payload, key)).SerializeToString()
    deflate = zlib.compressobj(-1, zlib.DEFLATED, GZIP)
    return deflate.compress(signed) + deflate.flush()


def deflated(part: bytes, before: bytes) -> bytes:
    """A part of what `seal_parts` seals, compressed once for every body it is in behind `before`.

    Of `before`, the parts in front of this one, only the last WINDOW bytes are looked at.
    """
    deflate = zlib.compressobj(-1, zlib.DEFLATED, RAW, zdict=before[-WINDOW:])
    return deflate.compress(part) + deflate.flush(zlib.Z_FULL_FLUSH)


def seal_parts(parts: Sequence[tuple[bytes, bytes]], tail: bytes, key: RSAPrivateKey) -> bytes:
    """The body for a payload of these parts and a tail, without compressing the parts again.

    A part is its bytes and what `deflated` made of them. Inflates to what `seal` would have sealed.
    """
    digest, size = hashlib.sha512(), len(tail)
    for part, _ in parts:
        digest.update(part)
        size += len(part)
    digest.update(tail)
    signature = key.sign(digest.digest(), PKCS1v15(), Prehashed(SHA512()))
    head = b"\x0a" + _varint(size)  # Signed: field 1 is the payload, field 2 the signature
    end = tail + b"\x12" + _varint(len(signature)) + signature
    check, whole = zlib.crc32(head), len(head) + size - len(tail) + len(end)
    for part, _ in parts:
        check = zlib.crc32(part, check)
    check = zlib.crc32(end, check)
    last = zlib.compressobj(-1, zlib.DEFLATED, RAW)
    return b"".join(
        (
            GZIP_HEAD,
            deflated(head, b""),
            *(compressed for _, compressed in parts),
            last.compress(end) + last.flush(),
            check.to_bytes(4, "little"),
            (whole & 0xFFFFFFFF).to_bytes(4, "little"),
        )
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def unseal(body: bytes, public_key: RSAPublicKey, *, size_max: int) -> bytes:
    """The verified payload of a body that inflates to at most `size_max` bytes. Raises Malformed."""
    try:
        signed = pb.Signed.FromString(_inflate(body, size_max))
    except DecodeError:
        raise Malformed("registry resource: not a signed message") from None
    if not signed.HasField("payload") or not signed.HasField("signature"):
        raise Malformed("registry resource: not signed")
    try:
        public_key.verify(signed.signature, signed.payload, PKCS1v15(), SHA512())
    except InvalidSignature:
        raise Malformed("registry resource: bad signature") from None
    return signed.payload


def _inflate(body: bytes, size_max: int) -> bytes:
    inflate = zlib.decompressobj(GZIP)
    try:
        data = inflate.decompress(body, size_max + 1)
    except zlib.error:
        raise Malformed("registry resource: not gzip") from None
    if len(data) > size_max:
        raise Malformed(f"registry resource: more than {size_max} bytes uncompressed")
    if not inflate.eof:
        raise Malformed("registry resource: the gzip stream is cut")
    if inflate.unused_data:
        raise Malformed("registry resource: bytes after the gzip member")
    return data
