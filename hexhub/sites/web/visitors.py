"""Who looks at a page: the session in the browser's cookie, and tokens that prove a form is ours.

A form's token is a keyed hash of the cookie that came with the page, so that another site, which
can make a browser send the cookie but cannot read it, cannot make the token.
"""

from __future__ import annotations

import hmac
import secrets

from aiohttp.web import StreamResponse

from hexhub.domain import sessions
from hexhub.domain.actors import Actor
from hexhub.errors import Forbidden
from hexhub.http import auth
from hexhub.http.call import Call
from hexhub.hub import Hub
from hexhub.schema import Session

SECRET_LENGTH_MAX = 128
RETURN_LENGTH_MAX = 2048
FOREIGN_FORM = "This form was not made for you, or is too old. Go back, reload, and try again."


def session_cookie(hub: Hub) -> str:
    """The cookie of a session; behind TLS with a prefix that binds it to this host and to TLS."""
    return "__Host-hexhub" if _secure(hub) else "hexhub"


def visitor_cookie(hub: Hub) -> str:
    """The cookie that binds forms to a browser that is not signed in."""
    return "__Host-hexhub-visitor" if _secure(hub) else "hexhub-visitor"


def _secure(hub: Hub) -> bool:
    return hub.url.startswith("https://")


def _secret(call: Call, cookie: str) -> str | None:
    value = call.request.cookies.get(cookie, "")
    return value if 20 <= len(value) <= SECRET_LENGTH_MAX and value.isascii() else None


async def recognise(call: Call) -> None:
    """Find the session of the cookie, and act as its user."""
    secret = _secret(call, session_cookie(call.hub))
    call.visitor = _secret(call, visitor_cookie(call.hub))
    if secret is None:
        return
    await auth.current(call)
    with call.hub.store.view() as view:
        found = sessions.by_cookie(view, call.hub.secret_hash(secret), call.now)
    if found is None:
        return
    call.session, user = found
    call.visitor, call.actor = secret, Actor(user=user)
    call.hub.counters.session_use(call.session.id, call.now, call.ip, call.user_agent)


def new_session(call: Call, username: str) -> tuple[Session, str]:
    """A session to keep, and the secret that its cookie carries."""
    secret = call.hub.new_token()
    row = sessions.of_browser(
        f"user:{username}", call.hub.secret_hash(secret), call.ip, call.user_agent, call.now
    )
    return row, secret


def keep(call: Call, response: StreamResponse, secret: str) -> None:
    """Give the browser its session."""
    _set(call.hub, response, session_cookie(call.hub), secret, sessions.GOOD_FOR.total_seconds())


def forget(call: Call, response: StreamResponse) -> None:
    """Take the session from the browser."""
    _set(call.hub, response, session_cookie(call.hub), "", 0)


def _set(hub: Hub, response: StreamResponse, name: str, value: str, seconds: float) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(seconds),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=_secure(hub),
    )


def greet(call: Call) -> None:
    """See to it that a browser which is not signed in has something to bind a form to."""
    if call.visitor is not None:
        return
    call.visitor = secrets.token_urlsafe(24)
    secure = "; Secure" if _secure(call.hub) else ""
    call.headers["Set-Cookie"] = (
        f"{visitor_cookie(call.hub)}={call.visitor}; Path=/; HttpOnly; SameSite=Lax{secure}"
    )


def form_token(call: Call) -> str:
    """What a form on the page being answered carries; empty where nothing can be bound."""
    return call.hub.secret_hash(f"form {call.visitor}") if call.visitor else ""


def check_form(call: Call) -> None:
    """Raise Forbidden for a form that did not come from a page of ours for this browser."""
    given, wanted = call.body.get("csrf"), form_token(call)
    if not wanted or not isinstance(given, str):
        raise Forbidden(FOREIGN_FORM)
    if not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        raise Forbidden(FOREIGN_FORM)


def local_path(address: object, otherwise: str = "/dashboard") -> str:
    """An address to go on to, if it is a path of this hub; browsers take `//h` and `/\\h` for hosts."""
    if not isinstance(address, str) or len(address) > RETURN_LENGTH_MAX:
        return otherwise
    if not address.startswith("/") or address.startswith(("//", "/\\")):
        return otherwise
    printable = address.isascii() and address.isprintable() and "\\" not in address
    return address if printable else otherwise
