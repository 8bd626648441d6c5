"""Pictures in READMEs: from the package, and from other hosts through the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
README = (
    b"![b](http://pictures.invalid/b.png) ![gone](http://pictures.invalid/gone.png) ![l](l.svg)"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestHub]:
    """A hub that gets to other hosts by a proxy, which answers for all of them."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/b.png":
            return web.Response(body=PNG, content_type="image/png")
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{site.port}")
    async with hubs.running(tmp_path, hexhub_readme_pictures="true") as hub:
        yield hub
    await runner.cleanup()


async def page(person: Person, path: str) -> str:
    answer = await person.get(path, Accept="text/html")
    assert answer.status == 200, answer.body
    return answer.body.decode()


async def test_pictures_of_other_hosts_come_through_the_hub(hub: TestHub) -> None:
    mara = await hub.user("mara")
    await mara.publish(tarball("lamp", "1.0.0", {"README.md": README, "l.svg": SVG}))
    shown = await page(hub.nobody, "/packages/lamp")
    assert "pictures.invalid" not in shown
    for address in ("picture/0", "picture/1", "raw/l.svg"):
        assert f'src="/packages/lamp/1.0.0/{address}"' in shown
    found = await hub.nobody.get("/packages/lamp/1.0.0/picture/0")
    assert (found.status, found.body) == (200, PNG)
    assert found.headers["Content-Type"] == "image/png"
    assert found.headers["Cache-Control"] == "public, max-age=3600"
    again = await hub.nobody.get(
        "/packages/lamp/1.0.0/picture/0", If_None_Match=found.headers["ETag"]
    )
    assert again.status == 304
    gone = await hub.nobody.get("/packages/lamp/1.0.0/picture/1")
    assert (gone.status, gone.headers["Content-Type"]) == (404, "image/svg+xml")
    for answer in (found, gone, await hub.nobody.get("/packages/lamp/1.0.0/raw/l.svg")):
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "script" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for number in ("2", "-1", "x", "0x0", "9999", "٣"):
        answer = await hub.nobody.get(f"/packages/lamp/1.0.0/picture/{number}")
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("text/html")


async def test_pictures_of_a_private_readme_are_for_its_readers(hub: TestHub) -> None:
    mara = await hub.user("mara")
    await hub.organization("acme", mara)
    await mara.publish(tarball("lamp", "1.0.0", {"README.md": README}), repository="acme")
    path = "/packages/acme/lamp/1.0.0/picture/0"
    assert (await hub.nobody.get(path)).status == 404
    assert (await (await hub.user("eve")).get(path)).status == 404


async def test_a_hub_without_an_upstream_links_to_pictures_of_other_hosts(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        await mara.publish(tarball("lamp", "1.0.0", {"README.md": README}))
        shown = await page(hub.nobody, "/packages/lamp")
        assert '<a href="http://pictures.invalid/b.png"' in shown
        assert (await hub.nobody.get("/packages/lamp/1.0.0/picture/0")).status == 404
