"""Who is calling: the `Authorization` header to an actor (http-api.md §2.1, §2.10)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator

from cluster import View
from hexhub.attempts import SIGN_IN
from hexhub.domain import tokens, users
from hexhub.domain.actors import NOBODY, Actor
from hexhub.errors import BadRequest, Malformed, NotFound, TooManyRequests, Unauthenticated
from hexhub.http import otp
from hexhub.http.call import Call
from hexhub.http.learning import Ticket
from hexhub.hub import Hub
from hexhub.repositories import topics
from hexhub.repositories.topics import Topic
from hexhub.schema import Key, Member, Organization, Session, Token, User

RIGHT_S = 60.0
"""How long a right is believed while no row that gave it has changed."""

INVALID_KEY = "invalid API key"
REVOKED_KEY = "API key revoked"
BASIC_OFF = "Basic authentication is disabled. Update your client to use OAuth or an API key."


class RevokedKey(Unauthenticated):
    """A key that was good once, shown by its holder."""


def header(call: Call) -> str | None:
    """The one `Authorization` header; two count as none."""
    values = call.request.headers.getall("Authorization", [])
    return values[0] if len(values) == 1 else None


async def current(call: Call) -> None:
    """Come to what is true now, before a credential is judged or something changed (design §4.3).

    What was revoked anywhere before this request counts. A read needs no question to the leader
    while this node's lease holds. Raises NoLeader.
    """
    if call.route.method != "GET" or not call.hub.node.lease_valid():
        await call.hub.store.barrier()


def ticket(
    call: Call, topic: Topic, until: float | None, counted: tuple[str, ...], *, files: bool
) -> Ticket | None:
    """Leave to send an answer again to who shows the same key or token (design §4.3).

    It ends when the credential does or a row that gave the right changes; and within a minute, so
    that the last use of the credential is noted. None for a password.
    """
    actor, hub = call.actor, call.hub
    rows, ends = [], [until, call.now.timestamp() + RIGHT_S]
    with hub.store.view() as view:
        for row in _shown(view, actor):
            rows.append(topics.of_row(type(row), row.jti if isinstance(row, Token) else _id(row)))
            end = row.revoke_at if isinstance(row, Key) else row.expires_at
            ends.append(end.timestamp() if end else None)
    if not rows:
        return None
    if actor.user is not None:
        rows.append(topics.of_row(Member, topic[0], actor.user.username))
    return Ticket(
        stamp=hub.topics.stamp(topic, *rows),
        until=min(end for end in ends if end is not None),
        credentialed=True,
        counted=counted,
        files=files,
    )


def _shown(view: View, actor: Actor) -> Iterator[Key | Token | Session]:
    """The credential that was shown, and what it was made from."""
    if actor.key is not None:
        yield actor.key
    if actor.token is not None:
        yield actor.token
        key = view.get(Key, actor.token.key) if actor.token.key else None
        session = view.get(Session, actor.token.session) if actor.token.session else None
        yield from (row for row in (key, session) if row is not None)


def _id(row: Key | Session) -> str:
    return row.lookup if isinstance(row, Key) else row.id


async def authenticate(call: Call) -> Actor:
    """The actor of an API request. Raises Unauthenticated for a credential that is no good."""
    value = header(call)
    if value is None:
        return NOBODY
    if value.startswith("Basic "):
        return await _basic(call, value.removeprefix("Basic "))
    return _secret_actor(call, value)


async def repository_actor(call: Call) -> Actor:
    """The actor on a repository path: a raw key, `Bearer` with a key, or Basic with one.

    Raises Unauthenticated, which repository paths never show (registry.md §7).
    """
    value = header(call)
    if value is None:
        return NOBODY
    if value.startswith("Basic "):
        return key_actor(call, _credentials(value.removeprefix("Basic "))[1])
    return _secret_actor(call, value)


def _secret_actor(call: Call, value: str) -> Actor:
    """An access token behind `Bearer`, or a key, there or bare. A key has no dots, a token two."""
    secret = value.removeprefix("Bearer ").strip()
    if value.startswith("Bearer ") and secret.count(".") == 2:
        return token_actor(call, secret)
    return key_actor(call, secret)


def token_actor(call: Call, token: str) -> Actor:
    """Whom an access token acts for. Raises Unauthenticated with one text for every fault (§2.1)."""
    hub = call.hub
    try:
        claims = hub.token_key.read(token, call.now)
    except Malformed:
        raise Unauthenticated(INVALID_KEY) from None
    with hub.store.view() as view:
        actor = tokens.actor(view, claims, call.now)
    if actor is None or actor.token is None:
        raise Unauthenticated(INVALID_KEY)
    if actor.token.session is not None:
        hub.counters.session_use(actor.token.session, call.now, call.ip, call.user_agent)
    return actor


def live_key(call: Call, secret: str) -> Key | None:
    """The key of this secret, when it may be used: to be exchanged for a token."""
    try:
        return key_actor(call, secret).key
    except Unauthenticated:
        return None


def key_actor(call: Call, secret: str) -> Actor:
    """The owner of a key. Raises Unauthenticated for an unknown or revoked one."""
    hub = call.hub
    with hub.store.view() as view:
        key = _key(view, hub, secret)
        if key is None:
            raise Unauthenticated(INVALID_KEY)
        actor = _owner(view, key)
    if actor is None:
        raise Unauthenticated(INVALID_KEY)
    if key.revoked(call.now) or (actor.user is not None and actor.user.disabled):
        raise RevokedKey(REVOKED_KEY)
    hub.counters.key_use(key, call.now, call.ip, call.user_agent)
    return actor


def _key(view: View, hub: Hub, secret: str) -> Key | None:
    digest = hub.secret_hash(secret)
    key = view.get(Key, digest[:32])
    return key if key and hmac.compare_digest(key.verifier, digest[32:]) else None


def _owner(view: View, key: Key) -> Actor | None:
    kind, _, name = key.owner.partition(":")
    if kind == "org":
        return Actor(organization=name, key=key) if view.get(Organization, name) else None
    user = view.get(User, name)
    return Actor(user=user, key=key) if user else None


async def _basic(call: Call, encoded: str) -> Actor:
    if not call.hub.basic_auth:
        raise Unauthenticated(BASIC_OFF, 'Bearer realm="hex"')
    name, password = _credentials(encoded)
    user = await password_user(call, name, password)
    if user is None:
        raise Unauthenticated("invalid username and password combination")
    if user.disabled:
        raise BadRequest("account is disabled")
    otp.check_basic(call, user)
    return Actor(user=user)


async def password_user(call: Call, name: str, password: str) -> User | None:
    """Whose name (or verified address) and password these are; disabled accounts too.

    Takes the same time for a name that nobody has. Raises TooManyRequests after ten failures.
    """
    attempts = call.hub.attempts
    if attempts.exhausted(SIGN_IN, call.ip, call.now):
        raise TooManyRequests("Too many failed sign-ins. Please try again later.")
    user = _user(call.hub, name)
    stored = user.password_hash if user else None
    if await call.hub.passwords.matches(stored, password) and user is not None:
        return user
    attempts.failed(SIGN_IN, call.ip, call.now)
    return None


def _credentials(encoded: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise Unauthenticated("invalid authentication information")
    return name, password


def _user(hub: Hub, name: str) -> User | None:
    if "\0" in name:
        return None
    with hub.store.view() as view:
        if "@" in name:
            return users.find_by_address(view, name)
        try:
            return users.find(view, name)
        except NotFound:
            return None
