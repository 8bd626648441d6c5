"""What every request to the API goes through before its handler (http-api.md §1.2, steps 3 to 11)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from cluster import ClusterError
from hexhub.domain import notices, permissions, releases
from hexhub.errors import BadRequest, HubError, TooManyRequests
from hexhub.http import auth, bodies, negotiation, otp, responses
from hexhub.http.call import Call
from hexhub.http.routes import Handler
from hexhub.schema import PUBLIC, Package
from hexhub.sites.api import access, retired

INDEX = "/api"
"""The one address of the API that is not counted."""


async def api(call: Call, handler: Handler) -> StreamResponse:
    """Negotiate, authenticate, authorize, then handle; errors in the format of the answer."""
    call.format = negotiation.choose(
        call.request.headers.get("Accept"), call.body.get("_format") or call.query.get("_format")
    )
    try:
        if "User-Agent" not in call.request.headers:
            raise BadRequest("User-Agent header is required")
        if call.route.method != "GET" or auth.header(call) is not None:
            await auth.current(call)
        call.actor = await auth.authenticate(call)
        if call.holds_nul:
            raise BadRequest("Bad request")
        if "Origin" in call.request.headers and not _is_upload(call):
            call.headers["Access-Control-Allow-Origin"] = "*"
        _count(call)
        _tell(call)
        await _authorize(call)
        return await handler(call)
    except (HubError, ClusterError) as error:
        response = responses.error_object(
            call, error, call.format, publishing=_is_package_write(call)
        )
        if bodies.expects_continue(call.request):
            response.force_close()
        return response


def _tell(call: Call) -> None:
    """What Hex prints with this answer, of which there is one: the most pressing first.

    That the key expires, else the operator's notice, else what replaces a retired account action.
    """
    key = call.actor.key
    text, level = notices.of_key(key, call.now) if key else None, "warn"
    if text is None:
        with call.hub.store.view() as view:
            notice = notices.current(view)
        if notice is not None:
            text, level = notice.text, notice.level
        else:
            text = retired.advice(call)
    if text is not None:
        call.message = responses.quoted_message(text, level)


def _count(call: Call) -> None:
    """Count the request, and say in every answer to it how many are left (http-api.md §1.12)."""
    if call.route.pattern == INDEX:
        return
    actor = call.actor
    user = actor.user.username if actor.user else None
    counted = call.hub.limits.count(
        call.ip, user, actor.organization, call.now, group=call.route.group
    )
    if counted is None:
        return
    call.headers["X-RateLimit-Limit"] = str(counted.limit)
    call.headers["X-RateLimit-Remaining"] = str(counted.remaining)
    call.headers["X-RateLimit-Reset"] = str(counted.reset)
    if counted.exceeded:
        raise TooManyRequests(counted.message)


async def _authorize(call: Call) -> None:
    allow = call.route.allow
    if "version" in call.path:
        releases.parse_version(call.path["version"])
    if allow.credentials or _closed(call):
        permissions.require_credentials(call.actor)
    if call.actor.anonymous:
        return
    if allow.verified:
        permissions.require_verified(call.actor)
    if allow.permission == "read":
        permissions.require_read(call.actor)
    if allow.permission == "write":
        name = call.path.get("name") if allow.package else None
        permissions.require_write(call.actor, known_package(call, name) if name else None)
        otp.check_write(call)


def known_package(call: Call, name: str) -> str | None:
    """`repository/name` of a package that exists: a key for one package cannot create it (§6.33)."""
    with call.hub.store.view() as view:
        package = view.get(Package, repository(call), name)
    return f"{package.repository}/{package.name}" if package else None


def _closed(call: Call) -> bool:
    """Unless ANONYMOUS_READ is on nothing is answered to nobody, except what makes an account.

    `mirror` leaves upstream packages open, and none of them is served here.
    """
    return call.hub.anonymous_read != "true" and call.route.allow is not access.OPEN


def repository(call: Call) -> str:
    """The repository of a package route. Hex may write `hexpm:acme` (http-api.md §5)."""
    return call.path.get("repository", PUBLIC).removeprefix("hexpm:")


def _is_upload(call: Call) -> bool:
    return call.route.method == "POST" and call.route.pattern.endswith(
        ("/publish", "/releases", "/docs")
    )


def _is_package_write(call: Call) -> bool:
    """Writes of packages, docs, owners and retirement: what rebar3_hex may misread."""
    return call.route.method != "GET" and (
        "/packages/" in call.route.pattern or call.route.pattern.endswith("/publish")
    )
