"""Advisories fetched from a configured address."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hexhub.advisory_feed import AdvisoryFeed
from hexhub.domain import advisories
from hexhub.errors import Malformed
from tests.hexhub.formats.test_osv import advisory
from tests.hexhub.hubs import TestHub


@dataclass
class Address:
    """A server that gives an export."""

    url: str = ""
    status: int = 200
    body: bytes = b""


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    address = Address()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=address.status, body=address.body)

    app = web.Application()
    app.router.add_get("/all.zip", answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    address.url = str(server.make_url("/all.zip"))
    yield address
    await server.close()


def feed(hub: TestHub, address: Address) -> AdvisoryFeed:
    return AdvisoryFeed(hub.hub.node, address.url, hub.hub.now)


async def test_an_export_is_fetched_and_kept(hub: TestHub, address: Address) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(45):
            archive.writestr(f"EEF-{n}.json", json.dumps(advisory(id=f"EEF-{n}")))
    address.body = packed.getvalue()

    assert await feed(hub, address).fetch() == 45
    assert await feed(hub, address).fetch() == 0
    with hub.hub.store.view() as view:
        assert len(advisories.everything(view)) == 45


@pytest.mark.parametrize("body", [b"", b"<html>", b"PK\x03\x04", b"[" * 100_000])
async def test_what_is_no_export_changes_nothing(
    hub: TestHub, address: Address, body: bytes
) -> None:
    address.body = body
    with suppress(Malformed):
        assert await feed(hub, address).fetch() == 0
    with hub.hub.store.view() as view:
        assert advisories.everything(view) == []


async def test_an_address_that_fails_is_an_error(hub: TestHub, address: Address) -> None:
    address.status = 500
    with pytest.raises(aiohttp.ClientError):
        await feed(hub, address).fetch()
