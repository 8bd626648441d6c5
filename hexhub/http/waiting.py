"""The face of a node that has no tables yet: it waits to form a cluster, or to be let into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp.web import BaseRequest, Response

from hexhub.http import membership, routes

if TYPE_CHECKING:
    from cluster import Node

RETRY_AFTER = {"Retry-After": "2", "Cache-Control": "no-store"}


class Waiting:
    """Answers requests as long as there is nothing to answer them from."""

    def __init__(self, node: Node, *, insider: bool) -> None:
        self._node = node
        self._insider = insider

    async def __call__(self, request: BaseRequest) -> Response:
        try:
            path = "/" + "/".join(routes.segments(request.raw_path))
        except Exception:  # whatever was asked, there is one answer
            path = ""
        if path in ("/status", "/health/live"):
            return Response(status=200, headers={"Cache-Control": "no-store"})
        if path in ("/cluster", "/api/cluster/status"):
            value: object = membership.state(self._node, 0, insider=self._insider)
        else:
            value = {
                "status": 503,
                "message": "this node is not part of a cluster yet, try again or ask another",
            }
        return Response(
            status=503,
            body=msgspec.json.encode(value),
            content_type="application/json",
            headers=RETRY_AFTER,
        )
