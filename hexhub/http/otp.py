"""One-time passwords on the API: whom `x-hex-otp` is asked of (http-api.md §2.3, §2.5)."""

from __future__ import annotations

from hexhub.attempts import OTP_OF_IP, OTP_OF_USER
from hexhub.domain import two_factor
from hexhub.errors import Forbidden, Malformed, TooManyRequests, Unauthenticated, Unavailable
from hexhub.formats import one_time_password, sealed
from hexhub.http.call import Call
from hexhub.hub import Hub
from hexhub.schema import TwoFactor, User

PURPOSE = "second factor"
"""What wrapped TOTP secrets are wrapped for."""

# Clients compare these up to the last letter, and httpc joins two headers into one.
MISSING = 'Bearer realm="hex", error="totp_required"'
INVALID = 'Bearer realm="hex", error="invalid_totp"'
BASIC = 'Bearer realm="hex"'
BASIC_REFUSED = (
    "Two-factor authentication is on for this account. Use an API key or mix hex.user auth."
)


def check_write(call: Call) -> None:
    """What a write asks of a user: a code with an access token, a second factor by the operator.

    Raises Forbidden, Unauthenticated or TooManyRequests.
    """
    user = call.actor.user
    if user is None or (call.actor.token is None and not call.hub.require_two_factor):
        return
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    if factor is None:
        raise Forbidden(two_factor.NEEDED)
    if call.actor.token is None:
        return
    code = call.request.headers.get("x-hex-otp")
    if code is None:
        raise Unauthenticated(two_factor.REQUIRED, MISSING)
    if not matches(call, factor, code):
        raise Unauthenticated(two_factor.WRONG, INVALID)


def check_basic(call: Call, user: User) -> None:
    """Refuse a password alone where a second factor is on, or demanded by the operator.

    With a stolen password anybody could make a full key otherwise. Raises Unauthenticated.
    """
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    if factor is None and not call.hub.require_two_factor:
        return
    code = call.request.headers.get("x-hex-otp")
    if factor is None or code is None or not matches(call, factor, code):
        raise Unauthenticated(BASIC_REFUSED, BASIC)


def matches(call: Call, factor: TwoFactor, code: str) -> bool:
    """Whether this is a code of now. Raises TooManyRequests after too many wrong ones."""
    attempts, now = call.hub.attempts, call.now
    guessers = ((OTP_OF_USER, factor.username), (OTP_OF_IP, call.ip))
    if any(attempts.exhausted(limit, who, now) for limit, who in guessers):
        raise TooManyRequests(two_factor.TOO_MANY)
    if one_time_password.matches(secret_of(call.hub, factor), code.strip(), now):
        return True
    for limit, who in guessers:
        attempts.failed(limit, who, now)
    return False


def recovery_hash(hub: Hub, typed: str) -> str:
    """How a recovery code is known in the tables; blanks, dashes and case do not matter."""
    plain = "".join(char for char in typed.lower() if char.isalnum())
    return hub.secret_hash(f"recovery {plain}")


def secret_of(hub: Hub, factor: TwoFactor) -> str:
    """The base32 secret of a second factor. Raises Unavailable while the root secret changes."""
    try:
        return sealed.unwrap(hub.sealing_key, PURPOSE, factor.secret).decode()
    except Malformed:
        raise Unavailable("this node has to be restarted with the new secret", 30) from None
