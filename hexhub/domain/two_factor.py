"""The second factor of an account: TOTP, and recovery codes for a lost device (http-api.md §2.5)."""

from __future__ import annotations

import hmac
from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, users
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import TwoFactor

RECOVERY_CODES = 10
NEEDED = "Two-factor authentication must be enabled for API write access"
REQUIRED = "Two-factor authentication required. Include X-Hex-OTP header with your TOTP code."
WRONG = "Invalid two-factor authentication code"
TOO_MANY = "Too many failed two-factor authentication attempts. Please try again later."


def enabled(view: View, username: str) -> TwoFactor | None:
    """The second factor of a user, if it is on."""
    row = view.get(TwoFactor, username)
    return row if row is not None and row.confirmed else None


def begin(tx: Transaction, username: str, secret: bytes, now: datetime) -> TwoFactor:
    """Keep a wrapped secret that counts once a code of it was shown. Raises Invalid when it is on."""
    user = users.find(tx, username)
    if enabled(tx, user.username):
        raise Invalid({"code": "two-factor authentication is on already"})
    row = TwoFactor(username=user.username, secret=secret, created_at=now)
    tx.put(row)
    return row


def confirm(
    tx: Transaction,
    origin: Origin,
    username: str,
    secret: bytes,
    recovery_hashes: tuple[str, ...],
    now: datetime,
) -> None:
    """Turn it on: a right code of this very secret was shown. Raises NotFound."""
    row = tx.get(TwoFactor, username)
    if row is None or row.secret != secret:
        raise NotFound
    tx.put(msgspec.structs.replace(row, confirmed=True, recovery_hashes=recovery_hashes))
    audit.record(tx, origin, "security.update", audited.user(users.find(tx, username)), now)
    _tell(tx, username, "two_factor_enabled", now)


def rotate(
    tx: Transaction,
    origin: Origin,
    username: str,
    recovery_hashes: tuple[str, ...],
    now: datetime,
) -> None:
    """New recovery codes; the former ones are void. Raises NotFound when it is off."""
    row = enabled(tx, username)
    if row is None:
        raise NotFound
    tx.put(msgspec.structs.replace(row, recovery_hashes=recovery_hashes))
    user = audited.user(users.find(tx, username))
    audit.record(tx, origin, "security.rotate_recovery_codes", user, now)
    _tell(tx, username, "recovery_codes_rotated", now)


def turn_off(tx: Transaction, origin: Origin, username: str, now: datetime) -> None:
    """Take the second factor away, for its owner or, after a lost device, by the operator."""
    row = tx.get(TwoFactor, username)
    if row is not None:
        tx.delete(row)
        audit.record(tx, origin, "security.update", audited.user(users.find(tx, username)), now)
        _tell(tx, username, "two_factor_disabled", now)


def _tell(tx: Transaction, username: str, template: str, now: datetime) -> None:
    mails.queue_for_users(tx, [username], template, {"username": username}, now)


def use_recovery_code(tx: Transaction, username: str, code_hash: str) -> bool:
    """Whether this is an unused recovery code; it is used then."""
    row = enabled(tx, username)
    if row is None:
        return False
    left = tuple(
        known for known in row.recovery_hashes if not hmac.compare_digest(known, code_hash)
    )
    if len(left) == len(row.recovery_hashes):
        return False
    tx.put(msgspec.structs.replace(row, recovery_hashes=left))
    return True
