"""The root secret of a hub under a passphrase: scrypt, then AES-256-GCM."""

from __future__ import annotations

import hashlib

from hexhub.backup import NotWhole
from hexhub.errors import Malformed
from hexhub.formats import sealed

SALT_SIZE = 16
COST, BLOCK, PARALLEL = 1 << 15, 8, 1
MEMORY_MAX = 64 << 20
PURPOSE = "root secret in a backup"
PASSPHRASE_MIN = 12


def lock(root: bytes, passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    """The salt, and the root secret wrapped. `salt` and `nonce` are fresh random bytes."""
    return salt + sealed.wrap(_stretched(passphrase, salt), PURPOSE, root, nonce)


def unlock(locked: bytes, passphrase: str) -> bytes:
    """The root secret. Raises NotWhole when the passphrase is another."""
    salt, wrapped = locked[:SALT_SIZE], locked[SALT_SIZE:]
    try:
        return sealed.unwrap(_stretched(passphrase, salt), PURPOSE, wrapped)
    except Malformed:
        raise NotWhole("the passphrase does not open this backup") from None


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(), salt=salt, n=COST, r=BLOCK, p=PARALLEL, maxmem=MEMORY_MAX, dklen=32
    )
