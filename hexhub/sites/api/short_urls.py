"""Make short addresses (http-api.md §3.12); the pages follow them."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from aiohttp.web import StreamResponse

from hexhub.domain import short_urls
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api

routes = Routes(api)

CANDIDATES = 8


def _code() -> str:
    return "".join(secrets.choice(short_urls.ALPHABET) for _ in range(short_urls.CODE_LENGTH))


@routes.post("/short_url", allow=access.VISITOR)
async def create(call: Call) -> StreamResponse:
    """A short form of an address on this hub or on hex.pm's hosts."""
    hub = call.hub
    own = [urlsplit(hub.url).netloc.lower()] + ([hub.docs_host] if hub.docs_host else [])
    row = await hub.store.transact(
        short_urls.shorten,
        call.parameter("url"),
        [_code() for _ in range(CANDIDATES)],
        own,
        call.now,
    )
    return responses.plain(call, {"url": f"{hub.url}/l/{row.code}"}, status=201)
