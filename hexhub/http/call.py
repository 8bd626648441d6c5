"""Call: one request on its way through a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from aiohttp.web import BaseRequest, StreamResponse

from hexhub.domain.actors import NOBODY, Actor
from hexhub.domain.audit import Origin
from hexhub.formats import addresses
from hexhub.schema import Session

if TYPE_CHECKING:
    from hexhub.http.hot_path import HotAnswers
    from hexhub.http.learning import Ticket
    from hexhub.http.routes import Route
    from hexhub.hub import Hub


@dataclass(slots=True)
class Call:
    """A request with what has been learnt about it so far.

    `path` holds the parameters of the route's pattern, `query` the last value of each name in the
    query, `body` the fields of a parsed body. Parameters form one map: path, then body, then query
    (http-api.md §1.1).
    """

    request: BaseRequest
    hub: Hub
    now: datetime
    route: Route
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, object]
    format: str = "json"
    actor: Actor = NOBODY
    headers: dict[str, str] = field(default_factory=dict)
    """Headers for the answer, whatever it will be."""
    session: Session | None = None
    """The browser's session, on pages."""
    visitor: str | None = None
    """A secret that only this browser has, which its forms are bound to."""
    hot: HotAnswers | None = None
    ticket: Ticket | None = None
    """Set by a handler whose answer may be sent again without it."""
    fault_page: StreamResponse | None = None
    """What a person sees when this call fails in a way that nobody foresaw."""
    message: str | None = None
    """What Hex should print, by `x-hex-message`."""

    def parameter(self, name: str) -> object:
        """A value from path, body or query, in this order; None when absent."""
        for source in (self.path, self.body, self.query):
            if name in source:
                return source[name]
        return None

    @property
    def origin(self) -> Origin:
        """Where a change that this call makes comes from."""
        return Origin(self.actor, self.ip, self.user_agent)

    @property
    def user_agent(self) -> str:
        """What the client calls itself; bytes that are not UTF-8, which no table takes, as `?`."""
        value = self.request.headers.get("User-Agent", "")
        return value.encode("utf-8", "replace").decode()

    @property
    def holds_nul(self) -> bool:
        """Whether there is a NUL in the path or the query: nothing has such a name."""
        values = (*self.path.values(), *self.query, *self.query.values())
        return any("\0" in value for value in values)

    @property
    def ip(self) -> str:
        """The client's address: the peer's, or what a named proxy says of it."""
        proxies = self.hub.limits.proxies
        peer = self.request.remote or ""
        if not proxies:
            return peer
        forwarded = self.request.headers.getall("X-Forwarded-For", [])
        return addresses.client(peer, forwarded, proxies)
