"""Values of the whole hub that live in the tables, such as the encrypted signing key."""

from __future__ import annotations

from cluster import Transaction, View
from hexhub.schema import Setting

SIGNING_KEY = "signing_key"
HASHING_KEY = "hashing_key"


def get(view: View, name: str) -> bytes | None:
    """A setting's value, or None."""
    setting = view.get(Setting, name)
    return setting.value if setting else None


def put_once(tx: Transaction, name: str, value: bytes) -> bytes:
    """Keep the value that is there, else put this one; returns the one that holds."""
    existing = get(tx, name)
    if existing is not None:
        return existing
    tx.put(Setting(name=name, value=value))
    return value
