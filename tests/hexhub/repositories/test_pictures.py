"""Pictures of READMEs from other hosts, and what a stranger's address must not reach."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from hexhub.errors import NotFound
from hexhub.repositories import pictures
from hexhub.repositories.pictures import Pictures, is_public

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text>passing</text></svg>'


class Elsewhere:
    """A web server of somebody else, on loopback."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers = {
            "/a.png": (PNG, "image/png"),
            "/badge.svg": (SVG, "image/svg+xml; charset=utf-8"),
            "/page": (b"<h1>Secret</h1>", "text/html"),
            "/lies.png": (b"<h1>Secret</h1>", "image/png"),
            "/large.png": (PNG + bytes(pictures.SIZE_MAX), "image/png"),
            "/script.svg": (SVG.replace(b"<text", b"<script>1</script><text"), "image/svg+xml"),
            "/handler.svg": (SVG.replace(b"<text", b"<text onload='1'"), "image/svg+xml"),
        }
        self.redirects: dict[str, str] = {"/moved.png": "/a.png", "/round.png": "/round.png"}
        self.headers: dict[str, str] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.headers = dict(request.headers)
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        if request.path not in self.answers:
            return web.Response(status=404)
        body, content_type = self.answers[request.path]
        return web.Response(body=body, headers={"Content-Type": content_type})


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    made = Elsewhere()
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = site.port
    yield made
    await runner.cleanup()


class Clock:
    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime(2026, 5, 4, tzinfo=UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fetcher(elsewhere: Elsewhere, clock: Clock) -> AsyncIterator[Pictures]:
    """One for which loopback is a public network."""
    made = Pictures(
        clock,
        enabled=True,
        user_agent="test",
        allowed=lambda address: address == "127.0.0.1",
        ports=(elsewhere.port, 80),
    )
    yield made
    await made.close()


async def test_a_picture_is_fetched_once_and_kept(fetcher: Pictures, elsewhere: Elsewhere) -> None:
    found = await asyncio.gather(*(fetcher.get(f"{elsewhere.url}/a.png") for _ in range(5)))
    assert {each.body for each in found} == {PNG}
    assert found[0].content_type == "image/png"
    await fetcher.get(f"{elsewhere.url}/a.png")
    assert elsewhere.asked["/a.png"] == 1
    assert (await fetcher.get(f"{elsewhere.url}/badge.svg")).content_type == "image/svg+xml"
    assert (await fetcher.get(f"{elsewhere.url}/moved.png")).body == PNG
    assert not {"Cookie", "Authorization", "Referer"} & set(elsewhere.headers)


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/lies.png",
        "/large.png",
        "/script.svg",
        "/handler.svg",
        "/round.png",
        "/missing.png",
    ],
)
async def test_what_is_no_harmless_picture_is_not_had(
    fetcher: Pictures, elsewhere: Elsewhere, path: str
) -> None:
    with pytest.raises(NotFound):
        await fetcher.get(elsewhere.url + path)
    asked = elsewhere.asked[path]
    assert asked >= 1
    with pytest.raises(NotFound):
        await fetcher.get(elsewhere.url + path)
    assert elsewhere.asked[path] == asked


async def test_a_kept_picture_outlives_its_host(
    fetcher: Pictures, elsewhere: Elsewhere, clock: Clock
) -> None:
    await fetcher.get(f"{elsewhere.url}/a.png")
    del elsewhere.answers["/a.png"]
    clock.ahead = timedelta(hours=2)
    assert (await fetcher.get(f"{elsewhere.url}/a.png")).body == PNG
    assert elsewhere.asked["/a.png"] == 2


async def test_memory_is_bounded(
    fetcher: Pictures, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MEMORY_MAX", 1500)
    for number in range(4):
        await fetcher.get(f"{elsewhere.url}/a.png?{number}")
    await fetcher.get(f"{elsewhere.url}/a.png?3")
    assert elsewhere.asked["/a.png"] == 4
    await fetcher.get(f"{elsewhere.url}/a.png?0")
    assert elsewhere.asked["/a.png"] == 5


@pytest.mark.parametrize(
    "address",
    [
        "http://{host}:1/a.png",
        "http://me:secret@{here}/a.png",
        "ftp://{here}/a.png",
        "file:///etc/passwd",
        "http://[::1]:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://127.0.0.2:{port}/a.png",
        "http://127.2:{port}/a.png",
        "http://2130706434:{port}/a.png",
        "http://0x7f000002:{port}/a.png",
        "{here}",
        "http://{here}/" + "a" * 3000,
        "http://[",
        "http://\0/",
    ],
)
async def test_no_other_place_is_asked(
    fetcher: Pictures, elsewhere: Elsewhere, address: str
) -> None:
    port = str(elsewhere.port)
    address = address.replace("{here}", f"127.0.0.1:{port}").replace("{port}", port)
    with pytest.raises(NotFound):
        await fetcher.get(address.replace("{host}", "127.0.0.1"))
    elsewhere.redirects["/away.png"] = address
    with pytest.raises(NotFound):
        await fetcher.get(f"{elsewhere.url}/away.png")
    assert set(elsewhere.asked) == {"/away.png"}


async def test_nothing_of_this_network_is_asked(elsewhere: Elsewhere, clock: Clock) -> None:
    made = Pictures(clock, enabled=True, user_agent="test", ports=(elsewhere.port,))
    for host in ("127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::]"):
        with pytest.raises(NotFound):
            await made.get(f"http://{host}:{elsewhere.port}/a.png")
    await made.close()
    assert not elsewhere.asked


async def test_a_hub_that_may_not_ask_does_not(elsewhere: Elsewhere, clock: Clock) -> None:
    made = Pictures(
        clock, enabled=False, user_agent="test", allowed=lambda _: True, ports=(elsewhere.port,)
    )
    with pytest.raises(NotFound):
        await made.get(f"{elsewhere.url}/a.png")
    await made.close()
    assert not elsewhere.asked


async def test_a_proxy_is_used_where_the_environment_names_one(
    fetcher: Pictures, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy may know names that this machine does not; names of this network stay refused."""
    monkeypatch.setenv("http_proxy", elsewhere.url)
    assert (await fetcher.get("http://pictures.invalid/a.png")).body == PNG
    assert elsewhere.headers["Host"] == "pictures.invalid"
    with pytest.raises(NotFound):
        await fetcher.get("http://127.0.0.2/a.png")
    assert sum(elsewhere.asked.values()) == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("no address", False),
    ],
)
def test_only_the_public_network_is_public(address: str, public: bool) -> None:
    assert is_public(address) == public
