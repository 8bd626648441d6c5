"""What the API answers from the upstream: packages and releases that are not ours, and search.

An answer of the upstream is marked by `X-HexHub-Origin: upstream`, and says its age.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from urllib.parse import quote, urlencode

import msgspec
from aiohttp.web import Response, StreamResponse

from hexhub.domain import releases
from hexhub.errors import HubError, NotFound
from hexhub.formats import resource_path
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Handler, Routes
from hexhub.repositories.mirror import Mirror
from hexhub.schema import PUBLIC
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)

ORIGIN = "X-HexHub-Origin"
SEARCH_LENGTH_MAX = 200


def otherwise(path: Callable[[Call], str]) -> Callable[[Handler], Handler]:
    """Answer what a handler does not find from the upstream; `path` is the one at its API."""

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        async def handle(call: Call) -> StreamResponse:
            try:
                return await handler(call)
            except NotFound:
                mirror = call.hub.mirror
                if mirror is None or repository(call) != PUBLIC:
                    raise
                return await _document(call, mirror, call.path["name"], path(call))

        return handle

    return wrap


def package(call: Call) -> str:
    """The path of the package of a call."""
    return f"packages/{_name(call)}"


def release(call: Call) -> str:
    """The path of the release of a call."""
    version = releases.parse_version(call.path["version"])
    return f"{package(call)}/releases/{quote(str(version), safe='.-+')}"


def _name(call: Call) -> str:
    if resource_path.parse(f"packages/{call.path['name']}") is None:
        raise NotFound
    return call.path["name"]


async def _document(call: Call, mirror: Mirror, name: str, path: str) -> StreamResponse:
    if not await mirror.knows(name):
        raise NotFound
    copy = await mirror.document(name, path)
    value = msgspec.json.decode(await mirror.believed.read(copy.row))
    scope = "public" if call.actor.anonymous else "private"
    response = responses.resource(call, value, cache=scope, conditional=True)
    response.headers[ORIGIN] = "upstream"
    response.headers["X-Cache"] = copy.state.upper()
    response.headers["Age"] = str(int(copy.age.total_seconds()))
    return response


async def found_after(call: Call, ours: int, page: int, per_page: int) -> list[dict[str, object]]:
    """What the upstream finds for the search of a call, on the part of a page that ours leave free.

    `ours` is how many packages of ours match in all. Nothing when the upstream cannot be asked.
    """
    mirror, text = call.hub.mirror, str(call.parameter("search") or "").strip()
    room = min(per_page, page * per_page - ours)
    if mirror is None or not text or len(text) > SEARCH_LENGTH_MAX or room <= 0:
        return []
    if mirror.tells_a_name(text):
        return []
    offset = max(0, (page - 1) * per_page - ours)
    found: list[dict[str, object]] = []
    try:
        for number in range(offset // per_page + 1, (offset + room - 1) // per_page + 2):
            query = {"search": text, "page": number, "per_page": per_page}
            sort = call.parameter("sort")
            found += await mirror.search(urlencode(query | ({"sort": sort} if sort else {})))
    except (HubError, TimeoutError):
        return []
    start = offset % per_page
    return found[start : start + room]


@routes.get("/packages/{name}/releases/{version}/download", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}/releases/{version}/download", allow=access.READER)
async def download(call: Call) -> StreamResponse:
    """Where the tarball is, ours or the upstream's."""
    return _redirect(call, "tarballs", ".tar")


@routes.get("/packages/{name}/releases/{version}/docs/download", allow=access.READER)
@routes.get(
    "/repos/{repository}/packages/{name}/releases/{version}/docs/download", allow=access.READER
)
async def download_docs(call: Call) -> StreamResponse:
    """Where the docs archive is, ours or the upstream's."""
    return _redirect(call, "docs", ".tar.gz")


def _redirect(call: Call, kind: str, ending: str) -> Response:
    version = releases.parse_version(call.path["version"])
    base = "/repo" if repository(call) == PUBLIC else f"/repos/{quote(repository(call), safe='')}"
    file = quote(f"{_name(call)}-{version}{ending}", safe=".-+_")
    return Response(status=302, headers={"Location": f"{call.hub.url}{base}/{kind}/{file}"})
