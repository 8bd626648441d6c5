"""Two-factor authentication of whoever is signed in: set up, recovery codes, switch off."""

from __future__ import annotations

import base64
import secrets

import segno
from aiohttp.web import Response, StreamResponse
from markupsafe import Markup

from hexhub.domain import two_factor
from hexhub.errors import TooManyRequests
from hexhub.formats import one_time_password, sealed
from hexhub.http import otp
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.schema import TwoFactor
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, PERSON, forms, signed_in, text

routes = Routes(forms)

SECRET_SIZE = 20
"""Bytes, as RFC 4226 §4 recommends for SHA-1."""
WRONG = "That code is not right. Check the clock of your phone, and try the next code."


@routes.get("/dashboard/security", allow=PERSON)
async def show(call: Call) -> StreamResponse:
    """Whether it is on."""
    user = signed_in(call)[0]
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    return pages.page(
        "dashboard_security.html",
        factor=factor,
        required=call.hub.require_two_factor,
        wrong=None,
    )


@routes.post("/dashboard/security/begin", allow=CONFIRMED)
async def begin(call: Call) -> StreamResponse:
    """Make a secret, which counts once a code of it was shown."""
    user = signed_in(call)[0]
    secret = base64.b32encode(secrets.token_bytes(SECRET_SIZE))
    wrapped = sealed.wrap(call.hub.sealing_key, otp.PURPOSE, secret, secrets.token_bytes(12))
    await call.hub.store.transact(two_factor.begin, user.username, wrapped, call.now)
    return pages.redirect("/dashboard/security/setup")


@routes.get("/dashboard/security/setup", allow=CONFIRMED)
async def setup(call: Call) -> StreamResponse:
    """The secret to scan or type."""
    factor = _pending(call)
    return pages.redirect("/dashboard/security") if factor is None else _setup(call, factor, None)


def _pending(call: Call) -> TwoFactor | None:
    with call.hub.store.view() as view:
        factor = view.get(TwoFactor, signed_in(call)[0].username)
    return factor if factor is not None and not factor.confirmed else None


def _setup(call: Call, factor: TwoFactor, wrong: str | None, status: int = 200) -> Response:
    secret = otp.secret_of(call.hub, factor)
    address = one_time_password.address(secret, factor.username, _issuer(call.hub))
    drawing = segno.make(address, error="m", micro=False).svg_inline(
        scale=5, border=3, dark="#000", light="#fff", omitsize=True
    )
    grouped = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return pages.page(
        "dashboard_two_factor.html",
        status=status,
        drawing=Markup(drawing),
        secret=grouped,
        address=address,
        wrong=wrong,
    )


def _issuer(hub: Hub) -> str:
    return f"HexHub {hub.url.partition('://')[2]}".replace(":", " ")


@routes.post("/dashboard/security/confirm", allow=CONFIRMED)
async def confirm(call: Call) -> StreamResponse:
    """Turn it on with a right code; shows the recovery codes, once."""
    factor = _pending(call)
    if factor is None:
        return pages.redirect("/dashboard/security")
    try:
        right = otp.matches(call, factor, text(call, "code"))
    except TooManyRequests as error:
        return _setup(call, factor, str(error), 429)
    if not right:
        return _setup(call, factor, WRONG, 422)
    codes = _new_codes()
    await call.hub.store.transact(
        two_factor.confirm,
        call.origin,
        factor.username,
        factor.secret,
        tuple(otp.recovery_hash(call.hub, code) for code in codes),
        call.now,
    )
    return pages.page("dashboard_recovery.html", codes=codes, fresh=True)


def _new_codes() -> list[str]:
    """Recovery codes of 60 random bits, in three groups."""
    texts = (base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(10))
    return ["-".join((text[:4], text[4:8], text[8:12])) for text in texts]


@routes.post("/dashboard/security/recovery", allow=CONFIRMED)
async def rotate(call: Call) -> StreamResponse:
    """New recovery codes; the former ones are void."""
    codes = _new_codes()
    await call.hub.store.transact(
        two_factor.rotate,
        call.origin,
        signed_in(call)[0].username,
        tuple(otp.recovery_hash(call.hub, code) for code in codes),
        call.now,
    )
    return pages.page("dashboard_recovery.html", codes=codes, fresh=False)


@routes.post("/dashboard/security/off", allow=CONFIRMED)
async def turn_off(call: Call) -> StreamResponse:
    """Turn it off, against a code."""
    user = signed_in(call)[0]
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    if factor is None:
        return pages.redirect("/dashboard/security")
    if not otp.matches(call, factor, text(call, "code")):
        return pages.page(
            "dashboard_security.html",
            status=422,
            factor=factor,
            required=call.hub.require_two_factor,
            wrong=WRONG,
        )
    await call.hub.store.transact(two_factor.turn_off, call.origin, user.username, call.now)
    return pages.redirect("/dashboard/security")
