"""The envelope of registry resources: gzip(Signed{payload, RSA signature}) (registry.md §2)."""

from __future__ import annotations

import zlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from google.protobuf.message import DecodeError

from hexhub.errors import Malformed
from hexhub.formats import registry_pb2 as pb

GZIP = 31  # zlib's window bits for one gzip member; no time and no name in the header


def sign(payload: bytes, key: RSAPrivateKey) -> bytes:
    """PKCS#1 v1.5 over SHA-512: the same key and payload always give the same bytes."""
    return key.sign(payload, PKCS1v15(), SHA512())


def seal(payload: bytes, key: RSAPrivateKey) -> bytes:
    """The body of a registry resource; equal bytes on every node."""
    signed = pb.Signed(payload=payload, signature=sign(payload, key)).SerializeToString()
    deflate = zlib.compressobj(-1, zlib.DEFLATED, GZIP)
    return deflate.compress(signed) + deflate.flush()


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
