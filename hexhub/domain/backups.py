"""What came of the last backup that each node made; for any node to tell."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import settings
from hexhub.schema import Setting

BACKUPS = "backups"
NODES_MAX = 32


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backup that was tried: `error` is None for a whole one of `size` bytes."""

    at: datetime
    file: str = ""
    size: int = 0
    error: str | None = None


def outcomes(view: View) -> dict[str, Outcome]:
    """By the name of the node."""
    stored = settings.get(view, BACKUPS)
    return msgspec.json.decode(stored, type=dict[str, Outcome]) if stored else {}


def note(tx: Transaction, node: str, outcome: Outcome) -> None:
    """Write down what came of it; nodes that were not heard of for longest are forgotten."""
    known = outcomes(tx) | {node: outcome}
    newest = sorted(known.items(), key=lambda each: each[1].at)[-NODES_MAX:]
    tx.put(Setting(name=BACKUPS, value=msgspec.json.encode(dict(newest))))
