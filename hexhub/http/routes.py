"""Routes are declared where they are handled; a router finds the one for a request.

Paths are matched segment by segment after empty segments are dropped, so that `//packages/x` and
`/packages/x/` are `/packages/x` without a redirect, which would crash Hex (http-api.md §1.1, §1.14).
A known path with another verb is no route: 404, never 405.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from aiohttp.web import BaseRequest, StreamResponse

from hexhub.errors import BadRequest
from hexhub.formats.rate_limits import READ, WRITE
from hexhub.http.call import Call

Handler: TypeAlias = Callable[[Call], Awaitable[StreamResponse]]
Pipeline: TypeAlias = Callable[[Call, Handler], Awaitable[StreamResponse]]
Condition: TypeAlias = Callable[[BaseRequest], bool]

ABSOLUTE = re.compile(r"\Ahttps?://[^/]*", re.IGNORECASE)
"""How the target of a request starts when it is written as a whole address (RFC 9112 §3.2.2)."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a route.

    `name` is what `hexhub routes` prints. `credentials`: nobody gets a 401. `permission`: what a
    key must grant, `read` or `write`; `package`: a key for this very package will do for a write.
    """

    name: str
    credentials: bool = False
    permission: str | None = None
    package: bool = False
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: str
    allow: Access
    handler: Handler
    pipeline: Pipeline
    when: Condition | None = None
    """A further condition on the request; routes of one path are tried in order."""
    group: str = READ
    """Whose rate limit counts, see formats/rate_limits.py."""


class Routes:
    """The routes of one file, with the pipeline that every request to them goes through.

    `group` is that of the rate limit; without one GET is `read` and all else `write`.
    """

    def __init__(self, pipeline: Pipeline, *, group: str | None = None) -> None:
        self._pipeline = pipeline
        self._group = group
        self._routes: list[Route] = []

    def add(
        self,
        method: str,
        pattern: str,
        *,
        allow: Access,
        when: Condition | None = None,
        group: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler. `{name}` is one segment, `{name*}` all that follow."""
        within = group or self._group or (READ if method == "GET" else WRITE)

        def declare(handler: Handler) -> Handler:
            route = Route(method, pattern, allow, handler, self._pipeline, when, within)
            self._routes.append(route)
            return handler

        return declare

    def get(
        self, pattern: str, *, allow: Access, group: str | None = None
    ) -> Callable[[Handler], Handler]:
        return self.add("GET", pattern, allow=allow, group=group)

    def post(
        self, pattern: str, *, allow: Access, group: str | None = None
    ) -> Callable[[Handler], Handler]:
        return self.add("POST", pattern, allow=allow, group=group)

    def put(self, pattern: str, *, allow: Access) -> Callable[[Handler], Handler]:
        return self.add("PUT", pattern, allow=allow)

    def delete(self, pattern: str, *, allow: Access) -> Callable[[Handler], Handler]:
        return self.add("DELETE", pattern, allow=allow)

    def under(self, prefix: str, *, when: Condition | None = None) -> Iterator[Route]:
        """The routes below a prefix."""
        for route in self._routes:
            yield replace(route, pattern=prefix + route.pattern, when=when or route.when)


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    rest: dict[str, list[tuple[Route, tuple[str, ...]]]] = field(default_factory=dict)
    here: dict[str, list[tuple[Route, tuple[str, ...]]]] = field(default_factory=dict)


class Router:
    """Finds a route by method and path. A literal segment wins over a parameter."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._insert(route)

    def _insert(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.pattern.split("/"):
            if segment.startswith("{") and segment.endswith("*}"):
                names.append(segment[1:-2])
                node.rest.setdefault(route.method, []).append((route, tuple(names)))
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            elif segment:
                node = node.literals.setdefault(segment, _Node())
        node.here.setdefault(route.method, []).append((route, tuple(names)))

    def find(
        self, request: BaseRequest, method: str, segments: list[str]
    ) -> tuple[Route, dict[str, str]] | None:
        """The route for a path, and its parameters; HEAD is a GET."""
        method = "GET" if method == "HEAD" else method
        return _find(self._root, request, method, segments, 0, [])


class ByHost(Router):
    """A router with others in its place for requests to certain hosts."""

    def __init__(self, router: Router, others: Mapping[str, Router]) -> None:
        super().__init__(router.routes)
        self._others = others

    def find(
        self, request: BaseRequest, method: str, segments: list[str]
    ) -> tuple[Route, dict[str, str]] | None:
        """The route for a path on the host that the request names."""
        other = self._others.get(request.headers.get("Host", "").lower())
        if other is not None:
            return other.find(request, method, segments)
        return super().find(request, method, segments)


def _find(
    node: _Node,
    request: BaseRequest,
    method: str,
    segments: list[str],
    depth: int,
    values: list[str],
) -> tuple[Route, dict[str, str]] | None:
    if depth == len(segments):
        return _first(node.here.get(method, ()), request, values)
    segment = segments[depth]
    if segment in node.literals:
        found = _find(node.literals[segment], request, method, segments, depth + 1, values)
        if found:
            return found
    if node.parameter:
        found = _find(node.parameter, request, method, segments, depth + 1, [*values, segment])
        if found:
            return found
    return _first(node.rest.get(method, ()), request, [*values, "/".join(segments[depth:])])


def _first(
    candidates: Iterable[tuple[Route, tuple[str, ...]]], request: BaseRequest, values: list[str]
) -> tuple[Route, dict[str, str]] | None:
    for route, names in candidates:
        if route.when is None or route.when(request):
            return route, dict(zip(names, values, strict=True))
    return None


def segments(raw_path: str) -> list[str]:
    """The segments of a raw request path, each percent-decoded once.

    Raises BadRequest for bytes that are not UTF-8. `%00` stays in: which answer it gets depends on
    who asks (http-api.md §1.2).
    """
    path = ABSOLUTE.sub("", raw_path.partition("?")[0], count=1)
    try:
        # aiohttp hands on bytes that are not UTF-8 as surrogates, which `encode` refuses.
        return [
            unquote_to_bytes(segment.encode()).decode() for segment in path.split("/") if segment
        ]
    except UnicodeError:
        raise BadRequest("Bad request") from None
