"""The face of a node that has no tables yet: it waits to form a cluster, or to be let into one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from aiohttp.web import BaseRequest, Response

from hexhub.http import membership, responses, routes
from hexhub.hub import utc_now
from hexhub.patience import Patience

if TYPE_CHECKING:
    from cluster import Node


class Waiting:
    """Answers requests as long as there is nothing to answer them from."""

    def __init__(self, node: Node, *, insider: bool, now: Callable[[], datetime] = utc_now) -> None:
        self._node = node
        self._now = now
        self._insider = insider
        self._patience = Patience()

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
        seconds = self._patience.seconds("waiting", responses.RETRY_AFTER_S, self._now())
        return Response(
            status=503,
            body=msgspec.json.encode(value),
            content_type="application/json",
            headers={"Cache-Control": "no-store", "Retry-After": str(seconds)},
        )
