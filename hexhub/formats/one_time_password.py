"""Time-based one-time passwords (RFC 6238): SHA-1, 6 digits, 30 s (http-api.md §2.5)."""

from __future__ import annotations

import re
from datetime import datetime

import pyotp

STEP_S = 30
STEPS = range(-1, 4)
"""Which steps from now count: hexpm's window, one step back to three ahead.

A code may be used again inside it: Hex sends one code with the release, the docs and the transfer.
"""
CODE = re.compile(r"[0-9]{6}")


def matches(secret: str, code: str, now: datetime) -> bool:
    """Whether this is a code of the base32 secret around now; every step is compared."""
    if not CODE.fullmatch(code):
        return False
    totp = pyotp.TOTP(secret)
    found = [
        pyotp.utils.strings_equal(totp.at(int(now.timestamp()) + step * STEP_S), code)
        for step in STEPS
    ]
    return any(found)


def address(secret: str, account: str, issuer: str) -> str:
    """The `otpauth://` address that an authenticator reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)
