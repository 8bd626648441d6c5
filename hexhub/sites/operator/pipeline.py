"""What every command of the operator goes through: JSON in, JSON out.

Whoever may connect may do everything: the permission is that of the socket's file.
"""

from __future__ import annotations

import msgspec
from aiohttp.web import Response, StreamResponse

from cluster import ClusterError
from hexhub.errors import HubError
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler

OPERATOR = Access("who owns the data directory")


async def control(call: Call, handler: Handler) -> StreamResponse:
    """Errors are objects as those of the API."""
    try:
        return await handler(call)
    except (HubError, ClusterError) as error:
        return responses.error_object(call, error, "json")


def answer(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
