"""What the operator has every client print (`x-hex-message`, http-api.md §1.14)."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, rules, settings
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid
from hexhub.schema import Key, Setting

NOTICE = "notice"
LEVELS = ("warn", "fatal")
TEXT_LENGTH_MAX = 300
EXPIRES_SOON = timedelta(days=7)


class Notice(msgspec.Struct, frozen=True):
    """A text, and how loudly clients say it: `warn` or `fatal`."""

    text: str
    level: str


def current(view: View) -> Notice | None:
    """The notice that holds."""
    stored = settings.get(view, NOTICE)
    return msgspec.json.decode(stored, type=Notice) if stored else None


def put(tx: Transaction, origin: Origin, text: object, level: object, now: datetime) -> Notice:
    """Set the notice. Raises Invalid: only plain ASCII without quotes reaches a terminal whole."""
    problem = rules.text(text)
    if problem is None and len(str(text)) > TEXT_LENGTH_MAX:
        problem = f"should be at most {TEXT_LENGTH_MAX} character(s)"
    if problem is None and (not str(text).isascii() or not str(text).isprintable()):
        problem = "must be one line of plain ASCII"
    if problem is None and any(char in str(text) for char in '"\\'):
        problem = "must not hold quotes or backslashes"
    rules.check({"text": problem})
    if level not in LEVELS:
        raise Invalid({"level": "is invalid"})
    notice = Notice(str(text), str(level))
    tx.put(Setting(name=NOTICE, value=msgspec.json.encode(notice)))
    audit.record(tx, origin, "notice.set", {"text": notice.text, "level": notice.level}, now)
    return notice


def clear(tx: Transaction, origin: Origin, now: datetime) -> None:
    """Say nothing more."""
    setting = tx.get(Setting, NOTICE)
    if setting is not None:
        tx.delete(setting)
        audit.record(tx, origin, "notice.clear", {}, now)


def of_key(key: Key, now: datetime) -> str | None:
    """What the holder of a key should hear about it."""
    if key.revoke_at is None or key.revoke_at - now > EXPIRES_SOON:
        return None
    return f"the API key {key.name} expires on {key.revoke_at:%Y-%m-%d at %H:%M} UTC"
