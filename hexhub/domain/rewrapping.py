"""Put every secret in the tables under another root secret. What the secrets are does not change."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cluster import Transaction
from hexhub.domain import settings
from hexhub.formats import sealed
from hexhub.schema import Setting, TwoFactor

SECOND_FACTORS = "second factors"
"""Purpose of the key under which secrets of second factors are wrapped."""
SECOND_FACTOR = "second factor"
"""Purpose of one such secret."""


def rewrap(tx: Transaction, old: bytes, new: bytes, nonce: Callable[[], bytes]) -> int:
    """Unwrap with the old root, wrap with the new one; how many values.

    `nonce` gives 12 fresh random bytes a call. Raises Malformed when the old root does not open
    one of them; then nothing is changed.
    """
    count = 0
    for name in (settings.SIGNING_KEY, settings.HASHING_KEY):
        wrapped = settings.get(tx, name)
        if wrapped is not None:
            plain = sealed.unwrap(old, name, wrapped)
            tx.put(Setting(name=name, value=sealed.wrap(new, name, plain, nonce())))
            count += 1
    was, becomes = sealed.derive(old, SECOND_FACTORS), sealed.derive(new, SECOND_FACTORS)
    for factor in list(tx.scan(TwoFactor)):
        plain = sealed.unwrap(was, SECOND_FACTOR, factor.secret)
        wrapped = sealed.wrap(becomes, SECOND_FACTOR, plain, nonce())
        tx.put(msgspec.structs.replace(factor, secret=wrapped))
        count += 1
    return count
