"""Who may read documentation that is not for everybody, and how its assets know.

A sandboxed page has no origin, so the browser sends no cookie for its style sheets and scripts, nor
does a host of its own see the hub's cookie. Documentation that needs a reader is therefore read
under an address with a token in it (`…/~TOKEN/…`), good for minutes, for one reader and one path.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from hexhub.domain import permissions, users
from hexhub.domain.actors import NOBODY, Actor
from hexhub.errors import NotFound, Unauthenticated
from hexhub.http import auth
from hexhub.http.call import Call
from hexhub.schema import PUBLIC

Recognise: TypeAlias = Callable[[Call], Awaitable[None]]
"""Finds the session of a browser and sets the call's actor."""

GOOD_FOR = timedelta(minutes=15)
STEP_S = 300
"""Tokens made within this many seconds are the same, so that browsers can keep what they fetched."""
MARK = "~"


@dataclass(frozen=True, slots=True)
class Place:
    """What is read: a package's documentation, and of which version; None for the newest."""

    repository: str
    name: str
    version: str | None


def is_open(call: Call, repository: str) -> bool:
    """Whether everybody may read it."""
    return repository == PUBLIC and call.hub.anonymous_read == "true"


def may_read(call: Call, actor: Actor, repository: str) -> bool:
    """Whether this actor may; a key must grant docs or fetching of the repository (docs.md §7)."""
    if is_open(call, repository):
        return True
    if actor.anonymous:
        return False
    if repository == PUBLIC:
        return True
    with call.hub.store.view() as view:
        key = actor.key
        granted = key is None or any(
            permissions.grants(key, domain, repository) for domain in ("docs", "repository")
        )
        return granted and permissions.may_see(view, actor, repository)


async def by_header(call: Call) -> Actor:
    """The actor of an `Authorization` header; nobody without one or with one that is no good."""
    if auth.header(call) is None:
        return NOBODY
    await auth.current(call)
    try:
        return await auth.repository_actor(call)
    except Unauthenticated:
        return NOBODY


def token(call: Call, place: Place, username: str) -> str:
    """A segment for addresses below this place."""
    now = int(call.now.timestamp())
    until = (now + int(GOOD_FOR.total_seconds())) // STEP_S * STEP_S + STEP_S
    return _written(call, place, username, until)


def passed_on(call: Call, place: Place, text: str, version: str) -> str:
    """The token for another version of the same package: of the same reader, and no longer good.

    Empty when the given one is not good for its place.
    """
    user = reader(call, place, text).user
    if user is None:
        return ""
    until = int(text.removeprefix(MARK).partition(".")[0], 16)
    return _written(call, Place(place.repository, place.name, version), user.username, until)


def _written(call: Call, place: Place, username: str, until: int) -> str:
    name = base64.urlsafe_b64encode(username.encode()).decode().rstrip("=")
    return f"{MARK}{until:x}.{name}.{_mac(call, place, username, until)}"


def reader(call: Call, place: Place, text: str) -> Actor:
    """Whom a token was made for; nobody when it is not for this place, or too old."""
    until, _, rest = text.removeprefix(MARK).partition(".")
    name, _, mac = rest.partition(".")
    try:
        expiry = int(until[:12], 16)
        username = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        wanted = _mac(call, place, username, expiry)
    except ValueError:
        return NOBODY
    if not hmac.compare_digest(mac.encode(), wanted.encode()) or expiry <= call.now.timestamp():
        return NOBODY
    with call.hub.store.view() as view:
        try:
            user = users.find(view, username)
        except NotFound:
            return NOBODY
    return NOBODY if user.disabled else Actor(user=user)


def _mac(call: Call, place: Place, username: str, until: int) -> str:
    bound = f"docs {place.repository} {place.name} {place.version} {username} {until}"
    return call.hub.secret_hash(bound)[:40]
