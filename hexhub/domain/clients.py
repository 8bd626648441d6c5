"""OAuth clients: programs that ask people for access (http-api.md §3.13)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from cluster import Transaction, View
from hexhub.domain import rules, sessions
from hexhub.errors import NotFound, OauthRefused
from hexhub.schema import OauthClient, Session

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH = "refresh_token"
KEY = "client_credentials"
CODE = "authorization_code"
GRANTS = (DEVICE, REFRESH, KEY, CODE)

SCOPES = ("api", "api:read", "api:write", "repositories")

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SEEDED: Mapping[str, OauthClient] = {
    client.client_id: client
    for client in (
        OauthClient(
            client_id="78ea6566-89fd-481e-a1d6-7d9d78eacca8",
            name="Hex CLI",
            grants=(DEVICE, REFRESH, KEY, CODE),
            scopes=("api", "api:read", "api:write", "repositories"),
        ),
        OauthClient(
            client_id="877731e8-cb88-45e1-9b84-9214de7da421",
            name="Gleam",
            grants=(DEVICE, REFRESH),
            scopes=("api:read", "api:write"),
        ),
    )
}
"""The ids are compiled into the clients. A row of the same id wins."""


def known(view: View, client_id: object) -> OauthClient | None:
    """The client of this id, or None."""
    if not isinstance(client_id, str) or not UUID.fullmatch(client_id.lower()):
        return None
    client_id = client_id.lower()
    return view.get(OauthClient, client_id) or SEEDED.get(client_id)


def find(view: View, client_id: object) -> OauthClient:
    """The client of this id. Raises OauthRefused."""
    if not isinstance(client_id, str) or not client_id:
        raise OauthRefused("invalid_client", "Missing client_id")
    client = known(view, client_id)
    if client is None:
        raise OauthRefused("invalid_client", "Invalid client")
    return client


def require_grant(client: OauthClient, grant: str) -> None:
    """Raise OauthRefused for a way to get tokens that this client has not."""
    if grant not in client.grants:
        raise OauthRefused("unauthorized_client", "Client not authorized for this grant type")


def require_scopes(client: OauthClient, scopes: Iterable[str]) -> None:
    """Raise OauthRefused for a scope that this client may not ask for."""
    if not all(_covers(client.scopes, scope) for scope in scopes):
        raise OauthRefused("invalid_scope", "Invalid scope")


def _covers(allowed: Iterable[str], scope: str) -> bool:
    """`repositories` covers each `repository:NAME`, `api` both of its parts."""
    if scope in allowed:
        return True
    if scope.startswith("repository:") and len(scope) > len("repository:"):
        return "repositories" in allowed
    return scope in ("api:read", "api:write") and "api" in allowed


def require_secret(client: OauthClient, given_hash: str | None) -> None:
    """Raise OauthRefused when a confidential client does not show its secret."""
    if client.secret_hash is None:
        return
    if given_hash is None or not hmac.compare_digest(client.secret_hash, given_hash):
        raise OauthRefused("invalid_client", "Invalid client credentials")


def has_redirect(client: OauthClient, uri: object) -> bool:
    """Whether answers may be sent to this address.

    Exactly one of the client's; a `*` in those stands for one label of the host, over https.
    """
    if not isinstance(uri, str) or not uri.isascii() or not uri.isprintable() or " " in uri:
        return False
    return any(_matches(own, uri) if "*" in own else uri == own for own in client.redirect_uris)


def _matches(pattern: str, uri: str) -> bool:
    try:
        wanted, given = urlsplit(pattern), urlsplit(uri)
        host = given.hostname or ""
    except ValueError:
        return False
    own = wanted.hostname or ""
    if wanted.scheme != "https" or own.count("*") != 1 or "*" not in own.split("."):
        return False
    expected = re.escape(wanted.netloc).replace(r"\*", r"[a-z0-9\-]+")
    return (
        given.scheme == "https"
        and re.fullmatch(expected, given.netloc) is not None
        and "*" not in host
        and given._replace(netloc="") == wanted._replace(netloc="")
    )


def every(view: View) -> list[OauthClient]:
    """The clients of the package managers, then those that were made, by name."""
    made = {client.client_id: client for client in view.scan(OauthClient)}
    own = [made.pop(client_id, client) for client_id, client in SEEDED.items()]
    return own + sorted(made.values(), key=lambda client: client.name)


def check(client: OauthClient) -> None:
    """Raise Invalid for a client that nobody should be sent to (field `redirect_uris`, `scopes`)."""
    unknown = [scope for scope in client.scopes if scope not in SCOPES]
    rules.check(
        {
            "scopes": f"must be of {' '.join(SCOPES)}" if unknown or not client.scopes else None,
            "redirect_uris": None
            if client.redirect_uris and all(map(_may_be_redirect, client.redirect_uris))
            else "must be https, or http on this machine, without a fragment",
        }
    )


def _may_be_redirect(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    plain = uri.isascii() and uri.isprintable() and " " not in uri and not parts.fragment
    if parts.scheme == "http":
        return plain and host in ("localhost", "127.0.0.1", "::1")
    return plain and parts.scheme == "https" and bool(host) and parts.username is None


def put(tx: Transaction, client: OauthClient) -> None:
    """Make or replace a client."""
    tx.put(client)


def remove(tx: Transaction, client_id: str, now: datetime) -> int:
    """Forget a client that was made; how many sessions of it ended. Raises NotFound."""
    client = tx.get(OauthClient, client_id.lower())
    if client is None:
        raise NotFound
    found = [session for session in tx.scan(Session) if session.client == client.client_id]
    for session in found:
        sessions.end(tx, session, now)
    tx.delete(client)
    return len(found)
