"""A backup of the running node as a stream, and another root secret for what it keeps."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from aiohttp.web import StreamResponse

from hexhub.backup import secret, write
from hexhub.domain import rewrapping
from hexhub.errors import Invalid
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)
SECRET_MIN = 32


@routes.post("/backup", allow=OPERATOR)
async def create(call: Call) -> StreamResponse:
    """A backup; its secrets are wrapped by `passphrase`, or left out when that is null."""
    passphrase = call.body.get("passphrase")
    if passphrase is not None and (
        not isinstance(passphrase, str) or len(passphrase) < secret.PASSPHRASE_MIN
    ):
        raise Invalid({"passphrase": f"should be at least {secret.PASSPHRASE_MIN} character(s)"})
    pieces = write.stream(
        call.hub.backup_source(),
        passphrase=passphrase,
        tables_only=call.body.get("tables_only") is True,
    )
    first = await anext(pieces)  # what stands against it is an error, not an answer that breaks off
    return Streamed(200, {"Content-Type": "application/gzip"}, _all(first, pieces))


async def _all(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


@routes.post("/secret/rotate", allow=OPERATOR)
async def rotate(call: Call) -> StreamResponse:
    """Wrap what is kept under `secret`; this node goes on with the old one until it is restarted."""
    new = call.body.get("secret")
    if not isinstance(new, str) or len(new) < SECRET_MIN:
        raise Invalid({"secret": f"should be at least {SECRET_MIN} character(s)"})
    count = await call.hub.store.transact(
        rewrapping.rewrap, call.hub.root, new.encode(), lambda: secrets.token_bytes(12)
    )
    return answer({"rewrapped": count})
