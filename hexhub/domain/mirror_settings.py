"""What an administrator set of the mirror for all nodes, over what each was configured with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, rules, settings
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid
from hexhub.schema import Setting

MIRROR = "mirror"

BOUNDS = {
    "wait": (0, 60_000),
    "timeout": (1, 600_000),
    "retry_attempts": (0, 20),
    "retry_delay": (0, 600_000),
    "connections": (1, 64),
    "quota": (0, 999_999_999_999),
}
"""Least and greatest of each, as for the settings of a node (design §10); times in ms."""


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None: as each node is configured. `paused`: nothing is asked of the upstream, on no node.

    `wait`, `timeout`, `retry_delay` are milliseconds, `quota` bytes.
    """

    paused: bool = False
    wait: int | None = None
    timeout: int | None = None
    retry_attempts: int | None = None
    retry_delay: int | None = None
    connections: int | None = None
    quota: int | None = None


NOTHING = MirrorSettings()


def current(view: View) -> MirrorSettings:
    """What holds."""
    stored = settings.get(view, MIRROR)
    return msgspec.json.decode(stored, type=MirrorSettings) if stored else NOTHING


def typed(fields: Mapping[str, str], *, paused: bool) -> MirrorSettings:
    """What a person typed; an empty field is None. Raises Invalid with a text for each field."""
    problems: dict[str, str | None] = {}
    values: dict[str, int | None] = {}
    for name, (least, greatest) in BOUNDS.items():
        text = fields.get(name, "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
        fits = number is not None and least <= number <= greatest
        values[name] = number
        problems[name] = None if not text or fits else f"must be {least:,} to {greatest:,}"
    rules.check(problems)
    return MirrorSettings(paused=paused, **values)


def put(tx: Transaction, origin: Origin, new: MirrorSettings, now: datetime) -> None:
    """Set it on all nodes. Raises Invalid for values out of bounds."""
    for name, (least, greatest) in BOUNDS.items():
        value = getattr(new, name)
        if value is not None and not least <= value <= greatest:
            raise Invalid({name: f"must be {least:,} to {greatest:,}"})
    old = current(tx)
    if new == old:
        return
    tx.put(Setting(name=MIRROR, value=msgspec.json.encode(new)))
    changed = {
        name: getattr(new, name)
        for name in ("paused", *BOUNDS)
        if getattr(new, name) != getattr(old, name)
    }
    said = ", ".join(f"{name} {_said(value)}" for name, value in changed.items())
    audit.record(tx, origin, "mirror.settings", {"said": said} | changed, now)


def _said(value: bool | int | None) -> str:
    if value is None:
        return "as configured"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value:,}"
