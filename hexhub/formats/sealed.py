"""Secrets at rest: keys derived from a root secret, wrapped values, keyed hashes.

Wrapped: version byte 1, a nonce of 12 bytes, then AES-256-GCM of the value with the purpose as
associated data, so that a value wrapped for one purpose cannot be passed off for another.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hexhub.errors import Malformed

VERSION = b"\x01"
NONCE_SIZE = 12


def derive(root: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=b"hexhub", info=purpose.encode()).derive(root)


def wrap(root: bytes, purpose: str, value: bytes, nonce: bytes) -> bytes:
    """Encrypt a value; `nonce` is 12 random bytes, never used twice."""
    sealed = AESGCM(derive(root, purpose)).encrypt(nonce, value, purpose.encode())
    return VERSION + nonce + sealed


def unwrap(root: bytes, purpose: str, wrapped: bytes) -> bytes:
    """Decrypt a value. Raises Malformed when the root is another or the bytes were changed."""
    if wrapped[:1] != VERSION:
        raise Malformed(f"{purpose}: wrapped by an unknown version")
    nonce, sealed = wrapped[1 : 1 + NONCE_SIZE], wrapped[1 + NONCE_SIZE :]
    try:
        return AESGCM(derive(root, purpose)).decrypt(nonce, sealed, purpose.encode())
    except (InvalidTag, ValueError):
        raise Malformed(f"{purpose}: does not open with this secret") from None


def keyed_hash(key: bytes, secret: str) -> str:
    """HMAC-SHA256 as 64 lower-case hex digits (http-api.md §2.2)."""
    # Whatever a client sends is at worst no key: it is never an error.
    text = secret.encode("utf-8", "surrogatepass")
    return hmac.new(key, text, hashlib.sha256).hexdigest()
