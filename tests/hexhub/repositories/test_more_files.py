"""Docs archives, builds of Hex and rebar3, and a hub that is offline by intention."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from tests.hexhub.mirrors import Pair, mirroring
from tests.hexhub.packages import docs, package

BUILD = b"an archive of hex"
LIST = f"2.1.1,{hashlib.sha512(BUILD).hexdigest()},1.14.0\n".encode()
NEW_LIST = f"2.2.0,{hashlib.sha512(BUILD).hexdigest()},1.18.0,27\n".encode()
SIGNATURE = base64.encodebytes(b"s" * 256)


def _installs(pair: Pair) -> None:
    """Put builds at the upstream."""
    pair.between.replayed |= {
        "/installs/hex-1.x.csv": LIST,
        "/installs/hex-1.x.csv.signed": SIGNATURE,
        "/installs/hex.csv": NEW_LIST,
        "/installs/hex.csv.signed": SIGNATURE,
        "/installs/1.14.0/hex-2.1.1.ez": BUILD,
        "/installs/1.18.0/hex-2.2.0-otp-27.ez": BUILD,
    }


async def test_docs_of_the_upstream_are_kept_and_survive_it(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    archive = docs("pine")
    await pair.author.post("/api/packages/pine/releases/1.0.0/docs", data=archive)
    path = "/docs/pine-1.0.0.tar.gz"
    assert (await pair.get(path)).body == archive
    pair.between.fault = "reset"
    pair.hub.clock.ahead = timedelta(days=9)
    assert (await pair.get(path)).body == archive


async def test_docs_that_are_no_archive_are_refused(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault = "html"
    assert (await pair.get("/docs/pine-1.0.0.tar.gz")).status == 502


@pytest.mark.parametrize("base", ["", "/repo"])
async def test_builds_pass_through_and_are_kept(pair: Pair, base: str) -> None:
    _installs(pair)
    for path, body in list(pair.between.replayed.items()):
        answer = await pair.get(base + path)
        assert (answer.status, answer.body) == (200, body)
    pair.between.fault = "reset"
    pair.hub.clock.ahead = timedelta(days=90)
    for path, body in pair.between.replayed.items():
        answer = await pair.get(base + path)
        assert (answer.status, answer.body) == (200, body)


async def test_a_build_that_is_not_the_one_of_the_list_is_refused(pair: Pair) -> None:
    _installs(pair)
    pair.between.replayed["/installs/1.14.0/hex-2.1.1.ez"] = b"something else"
    assert (await pair.get("/installs/1.14.0/hex-2.1.1.ez")).status == 502


async def test_a_build_that_no_list_names_is_not_asked_for(pair: Pair) -> None:
    _installs(pair)
    assert (await pair.get("/installs/1.14.0/hex-9.9.9.ez")).status == 404
    assert (await pair.get("/installs/../../etc/passwd")).status == 404
    assert not [path for path in pair.between.requests if "9.9.9" in path or "etc" in path]


async def test_a_list_and_its_signature_are_renewed_together(pair: Pair) -> None:
    _installs(pair)
    await pair.get("/installs/hex-1.x.csv")
    new = LIST + LIST.replace(b"2.1.1", b"2.1.2")
    signature = base64.encodebytes(b"t" * 256)
    pair.between.replayed["/installs/hex-1.x.csv"] = new
    pair.between.replayed["/installs/hex-1.x.csv.signed"] = signature
    pair.hub.clock.ahead = timedelta(hours=3)
    assert (await pair.get("/installs/hex-1.x.csv")).body == new
    assert (await pair.get("/installs/hex-1.x.csv.signed")).body == signature


@pytest.mark.parametrize("body", [b"<html></html>", b"2.1.1,short,1.14.0\n", b"", b"\xff\xfe"])
async def test_a_list_that_is_none_is_refused(pair: Pair, body: bytes) -> None:
    _installs(pair)
    pair.between.replayed["/installs/hex-1.x.csv"] = body
    assert (await pair.get("/installs/hex-1.x.csv")).status == 502


async def test_a_hub_that_is_offline_by_intention_never_dials_out(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys, offline="true") as pair:
        await pair.publish("pine", "1.0.0")
        for path in ("/names", "/packages/pine", "/tarballs/pine-1.0.0.tar", "/installs/hex.csv"):
            answer = await pair.get(path)
            assert answer.status == 503
            assert b"OFFLINE" in answer.body
        assert (await pair.get("/repo/names")).status == 200
        assert pair.between.total == 0


async def test_a_hub_without_a_way_out_starts_and_answers_soon(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    nowhere = "http://127.0.0.1:1"
    async with mirroring(
        tmp_path, upstream_keys, upstream_repo_url=nowhere, upstream_retry_delay="5000"
    ) as pair:
        assert (await pair.get("/packages/pine")).status == 503
        mirror = pair.hub.hub.mirror
        assert mirror is not None
        assert mirror.upstream.circuit.state == "open"
        assert mirror.upstream.results["failed"] == 1
        assert (await pair.get("/packages/larch")).status == 503
        assert mirror.upstream.results["failed"] == 1


async def _with_docs(pair: Pair, version: str, text: str) -> None:
    await pair.publish("pine", version)
    archive = docs(text)
    path = f"/api/packages/pine/releases/{version}/docs"
    assert (await pair.author.post(path, data=archive)).status == 201


async def test_docs_of_the_upstream_are_read_here_with_it_there_or_not(pair: Pair) -> None:
    await _with_docs(pair, "1.0.0", "old")
    await _with_docs(pair, "1.1.0", "new")
    for _ in range(2):
        assert b"new" in (await pair.get("/docs/pine/")).body
        assert b"old" in (await pair.get("/docs/pine/1.0.0/")).body
        assert b"v1.0.0" in (await pair.get("/docs/pine/docs_config.js")).body
        pair.between.fault = "reset"
        pair.hub.clock.ahead = timedelta(days=9)
    assert (await pair.get("/docs/pine/1.0.0/nothing.html")).status == 404


async def test_docs_of_the_newest_release_that_has_some_are_shown(pair: Pair) -> None:
    await _with_docs(pair, "1.0.0", "old")
    await pair.publish("pine", "1.1.0")
    assert b"old" in (await pair.get("/docs/pine/")).body


async def test_docs_of_a_private_name_are_not_asked_for(pair: Pair) -> None:
    await pair.hub.organization("acme", pair.mara)
    await pair.mara.publish(package("vault"), repository="acme")
    assert (await pair.get("/docs/vault/")).status == 404
    assert (await pair.get("/docs/unheard_of/")).status == 404
    assert not [path for path in pair.between.requests if "vault" in path or "unheard" in path]


async def test_anybody_may_read_the_mirror_alone_where_that_is_all_that_is_open(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys, hot=True, anonymous_read="mirror") as pair:
        await pair.publish("pine", "1.0.0")
        await pair.mara.publish(package("mine"))
        for base in ("", "/repo"):
            for _ in range(2):
                assert (await pair.get(f"{base}/packages/pine")).status == 200
                assert (await pair.get(f"{base}/tarballs/pine-1.0.0.tar")).status == 200
                assert (await pair.get(f"{base}/packages/mine")).status == 404
                assert (await pair.get(f"{base}/tarballs/mine-1.0.0.tar")).status == 404
                assert (await pair.mara.get(f"{base}/packages/mine")).status == 200
        assert (await pair.get("/repo/names")).status == 404
        assert b"mine" not in (await pair.get("/names")).body
        assert (await pair.mara.get("/repo/names")).status == 200
        assert not pair.hub.faults


async def test_nothing_of_the_mirror_is_read_without_credentials_where_nothing_is_open(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys, anonymous_read="false") as pair:
        await pair.publish("pine", "1.0.0")
        for path in ("/packages/pine", "/repo/packages/pine", "/tarballs/pine-1.0.0.tar", "/names"):
            assert (await pair.mara.get(path)).status == 200
            assert (await pair.get(path)).status == 404
        assert (await pair.get("/api/packages/pine")).status == 401
        assert (await pair.get("/docs/pine/")).status != 200
