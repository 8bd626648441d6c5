"""The index of the API (http-api.md §3.1)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api

routes = Routes(api)


@routes.get("", allow=access.VISITOR)
async def index(call: Call) -> StreamResponse:
    """Where things are."""
    base = call.hub.api_url
    return responses.plain(
        call,
        {
            "packages_url": f"{base}/packages",
            "package_url": f"{base}/packages/{{name}}",
            "package_retirement_url": (f"{base}/packages/{{name}}/releases/{{version}}/retire"),
            "package_release_url": f"{base}/packages/{{name}}/releases/{{version}}",
            "package_owners_url": f"{base}/packages/{{name}}/owners",
            "keys_url": f"{base}/keys",
            "key_url": f"{base}/keys/{{name}}",
            "documentation_url": "http://docs.hexpm.apiary.io",
        },
    )
