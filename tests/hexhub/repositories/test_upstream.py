"""The client to the upstream: proxies, certificates, few connections, bounded bodies."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.web import BaseRequest, Response, Server, ServerRunner, StreamResponse, TCPSite
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hexhub.errors import NotFound, Unreachable, UpstreamWrong
from hexhub.hub import utc_now
from hexhub.repositories.upstream import Fetched, Upstream, UpstreamSettings
from hexhub.storage.spool import Spool

Answer = Callable[[BaseRequest], Awaitable[StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers so; its URL."""
    runner = ServerRunner(Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        port = runner.addresses[0][1]
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(url: str, folder: Path, **settings: object) -> AsyncIterator[Upstream]:
    made = UpstreamSettings(
        urls={"repo": url, "api": url, "builds": url},
        wait_s=1.0,
        retry_delay_s=0.001,
        **settings,  # type: ignore[arg-type]
    )
    upstream = Upstream(made, Spool(folder / "spool"), utc_now)
    try:
        yield upstream
    finally:
        await upstream.close()


async def _bytes(fetched: Fetched) -> bytes:
    return fetched.read()


async def _hello(request: BaseRequest) -> StreamResponse:
    return Response(text=f"hello {request.raw_path}")


async def test_the_environment_names_the_proxy_and_what_goes_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(_hello) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        async with asking("http://upstream.invalid", tmp_path) as upstream:
            body = await upstream.fetch("repo", "names", _bytes, size_max=100)
            assert body == b"hello http://upstream.invalid/names"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with asking(proxy, tmp_path) as upstream:
            assert await upstream.fetch("repo", "names", _bytes, size_max=100) == b"hello /names"


def _certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate of its own making, and the file that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    now = datetime.datetime.fromtimestamp(utc_now().timestamp(), datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    both, public = folder / "both.pem", folder / "public.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    both.write_bytes(private + public.read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    return context, public


async def test_a_private_authority_is_believed_only_when_it_is_configured(tmp_path: Path) -> None:
    context, ca_file = _certificate(tmp_path)
    async with serving(_hello, context) as url:
        async with asking(url, tmp_path, ca_file=ca_file) as upstream:
            assert await upstream.fetch("repo", "names", _bytes, size_max=100) == b"hello /names"
        async with asking(url, tmp_path, retry_attempts=0) as upstream:
            with pytest.raises(Unreachable):
                await upstream.fetch("repo", "names", _bytes, size_max=100)


async def test_no_more_connections_than_allowed_are_made(tmp_path: Path) -> None:
    now, most = 0, 0

    async def answer(request: BaseRequest) -> StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return Response(text="x")

    async with serving(answer) as url, asking(url, tmp_path, connections=3) as upstream:
        await asyncio.gather(
            *(upstream.fetch("repo", str(n), _bytes, size_max=100) for n in range(30))
        )
    assert most == 3


async def test_a_body_above_its_bound_is_refused(tmp_path: Path) -> None:
    async def answer(request: BaseRequest) -> StreamResponse:
        return Response(body=bytes(101))

    async with serving(answer) as url, asking(url, tmp_path) as upstream:
        with pytest.raises(UpstreamWrong, match="more than 100 bytes"):
            await upstream.fetch("repo", "names", _bytes, size_max=100)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_what_object_stores_answer_for_no_such_name_is_a_missing_one(
    tmp_path: Path, status: int
) -> None:
    async def answer(request: BaseRequest) -> StreamResponse:
        return Response(status=status)

    async with serving(answer) as url, asking(url, tmp_path) as upstream:
        with pytest.raises(NotFound):
            await upstream.fetch("repo", "packages/x", _bytes, size_max=100)
        assert upstream.circuit.state == "closed"


@pytest.mark.parametrize("status", [201, 204, 304, 400, 418])
async def test_an_answer_that_is_none_is_refused(tmp_path: Path, status: int) -> None:
    async def answer(request: BaseRequest) -> StreamResponse:
        return Response(status=status)

    async with serving(answer) as url, asking(url, tmp_path) as upstream:
        with pytest.raises(UpstreamWrong):
            await upstream.fetch("repo", "packages/x", _bytes, size_max=100)


async def test_redirects_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    async def answer(request: BaseRequest) -> StreamResponse:
        if request.path == "/there":
            return Response(text="there")
        target = "/there" if request.path == "/here" else request.path
        return Response(status=302, headers={"Location": target})

    async with serving(answer) as url, asking(url, tmp_path) as upstream:
        assert await upstream.fetch("repo", "here", _bytes, size_max=100) == b"there"
        with pytest.raises(UpstreamWrong, match="circles"):
            await upstream.fetch("repo", "round", _bytes, size_max=100)


async def test_a_silent_upstream_is_given_up_after_its_time(tmp_path: Path) -> None:
    async def answer(request: BaseRequest) -> StreamResponse:
        await asyncio.sleep(3600)
        return Response()

    async with (
        serving(answer) as url,
        asking(url, tmp_path, timeout_s=0.05, retry_attempts=1) as upstream,
    ):
        with pytest.raises(Unreachable):
            await upstream.fetch("repo", "names", _bytes, size_max=100)
        assert upstream.results["failed"] == 2


async def test_nothing_is_left_in_the_spool(tmp_path: Path) -> None:
    async with serving(_hello) as url, asking(url, tmp_path) as upstream:
        await upstream.fetch("repo", "names", _bytes, size_max=100)
        with pytest.raises(UpstreamWrong):
            await upstream.fetch("repo", "names", _bytes, size_max=2)
    assert list((tmp_path / "spool").iterdir()) == []


async def test_failures_are_tried_again_after_times_that_double_and_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the nodes of many teams do not come back to an upstream in step."""
    pauses: list[list[float]] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            pauses[-1].append(seconds)
        await real_sleep(0)

    async def fail(request: BaseRequest) -> StreamResponse:
        return Response(status=503)

    async with serving(fail) as url:
        for number in range(8):
            pauses.append([])
            async with asking(url, tmp_path / str(number), retry_attempts=4) as upstream:
                monkeypatch.setattr("hexhub.repositories.upstream.asyncio.sleep", sleep)
                with pytest.raises(Unreachable):
                    await upstream.fetch("repo", "x", _bytes, size_max=10)
                monkeypatch.undo()
    for found in pauses:
        assert len(found) == 4
        for number, pause in enumerate(found):
            assert 0.5 <= pause / (0.001 * 2**number) <= 1.0
    assert len({found[0] for found in pauses}) > 1
