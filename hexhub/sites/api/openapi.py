"""The description of the API in OpenAPI 3.1, as it stands beside this file."""

from __future__ import annotations

from functools import cache
from importlib import resources

from aiohttp.web import Response, StreamResponse

from hexhub.http.call import Call
from hexhub.http.routes import Handler, Routes
from hexhub.sites.api import access

FILE = "hex-api.yaml"


async def _plain(call: Call, handler: Handler) -> StreamResponse:
    return await handler(call)


routes = Routes(_plain)
"""Outside the API's pipeline: whatever a reader accepts and calls itself, this is YAML."""


@cache
def text() -> str:
    """The file."""
    return resources.files("hexhub.sites.api").joinpath(FILE).read_text("utf-8")


@routes.get("/openapi.yaml", allow=access.OPEN)
async def show(call: Call) -> StreamResponse:
    """The description."""
    return Response(
        text=text(),
        content_type="application/yaml",
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=3600"},
    )
