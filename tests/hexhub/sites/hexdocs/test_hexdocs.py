"""Documentation at its addresses, and the walls around it."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.packages import docs_archive, tarball
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import Answer, Person, TestHub

PASSWORD = "correct horse battery"
PAGES = {
    "index.html": b"<!DOCTYPE html><title>Home</title><p>hello",
    "sub/index.html": b"<p>sub",
    "dist/app-0123ABCD.js": b"console.log('hi')",
    "style.css": b"body { color: red }" * 50,
    "odd name?.txt": b"odd",
    "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "docs_config.js": b"the archive's own",
    "404.html": b"the archive's own",
}


async def publish(
    person: Person, name: str, version: str, repository: str | None = None, **more: bytes
) -> None:
    answer = await person.publish(tarball(name, version, {"a": b"a"}), repository=repository)
    assert answer.status == 201, answer.body
    prefix = f"/repos/{repository}" if repository else ""
    pages = PAGES | {"version.txt": version.encode()} | more
    answer = await person.post(
        f"/api{prefix}/packages/{name}/releases/{version}/docs", data=docs_archive(pages)
    )
    assert answer.status == 201, answer.body


@pytest.fixture
async def ecto(hub: TestHub, mara: Person) -> Person:
    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        await publish(mara, "ecto", version)
    return hub.nobody


async def test_the_newest_stable_version_stands_without_a_version(ecto: Person) -> None:
    assert (await ecto.get("/docs/ecto/version.txt")).body == b"1.1.0"
    assert (await ecto.get("/docs/ecto/2.0.0-rc.1/version.txt")).body == b"2.0.0-rc.1"
    assert b"hello" in (await ecto.get("/docs/ecto/")).body
    assert b"hello" in (await ecto.get("/docs/ecto/1.0.0/")).body


@pytest.mark.parametrize(
    "path", ["/docs/ecto", "/docs/ecto/1.0.0", "/docs/ecto/sub", "/docs/ecto/1.0.0/sub"]
)
async def test_a_folder_without_its_slash_redirects(ecto: Person, path: str) -> None:
    answer = await ecto.get(path)
    assert (answer.status, answer.headers["Location"]) == (302, f"{path}/")


async def test_a_sandboxed_page_follows_the_theme_of_the_hub(ecto: Person) -> None:
    seen = {}
    for theme in ("dark", "light", "</script>"):
        answer = await ecto.get("/docs/ecto/1.0.0/", Cookie=f"theme={theme}")
        assert "Cookie" in answer.headers["Vary"]
        seen[answer.headers["ETag"]] = answer.body.decode()
    (dark, light, neither) = seen.values()
    assert '\\"theme\\":\\"dark\\"' in dark
    assert '\\"theme\\":\\"light\\"' in light
    assert "theme" not in neither
    assert neither.startswith("<!doctype html><script>")


async def test_the_archive_is_still_the_repository_s(ecto: Person) -> None:
    answer = await ecto.get("/docs/ecto-1.0.0.tar.gz")
    assert answer.status == 200
    assert gzip.decompress(answer.body)


async def test_the_version_menu_is_of_this_moment(ecto: Person, mara: Person) -> None:
    answer = await ecto.get("/docs/ecto/1.0.0/docs_config.js")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b'{"version":"v1.1.0","url":"/docs/ecto/1.1.0","latest":true}' in answer.body
    await mara.post("/api/packages/ecto/releases/1.0.0/retire", {"reason": "invalid"})
    await mara.delete("/api/packages/ecto/releases/1.1.0/docs")
    answer = await ecto.get("/docs/ecto/docs_config.js")
    assert b"1.1.0" not in answer.body
    assert b'"url":"/docs/ecto/1.0.0","latest":true,"retired":true' in answer.body


async def test_content_types_come_from_names_alone(ecto: Person) -> None:
    for path, wanted in {
        "style.css": "text/css; charset=utf-8",
        "dist/app-0123ABCD.js": "text/javascript; charset=utf-8",
        "evil.svg": "image/svg+xml; charset=utf-8",
        "odd%20name%3F.txt": "text/plain; charset=utf-8",
    }.items():
        answer = await ecto.get(f"/docs/ecto/1.0.0/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, wanted)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_files_are_compressed_for_those_who_take_it(ecto: Person) -> None:
    plain = await ecto.get("/docs/ecto/style.css")
    small = await ecto.get("/docs/ecto/style.css", Accept_Encoding="gzip")
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body == PAGES["style.css"]


async def test_what_a_browser_has_is_not_sent_again(ecto: Person) -> None:
    for path in ("style.css", "", "docs_config.js"):
        first = await ecto.get(f"/docs/ecto/{path}")
        again = await ecto.get(f"/docs/ecto/{path}", If_None_Match=first.headers["ETag"])
        assert (again.status, again.body) == (304, b"")


async def test_hashed_assets_are_kept_for_ever_and_pages_briefly(ecto: Person) -> None:
    asset = await ecto.get("/docs/ecto/1.0.0/dist/app-0123ABCD.js")
    assert "immutable" in asset.headers["Cache-Control"]
    page = await ecto.get("/docs/ecto/1.0.0/")
    assert page.headers["Cache-Control"] == "public, max-age=60"
    assert page.headers["Link"].endswith('/docs/ecto/>; rel="canonical"')


async def test_a_page_that_is_missing_offers_other_versions(ecto: Person) -> None:
    answer = await ecto.get("/docs/ecto/9.9.9/")
    assert answer.status == 404
    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        assert f"/docs/ecto/{version}/".encode() in answer.body
    for path in ("/docs/nothing/", "/docs/ecto/1.0.0/none.html"):
        assert (await ecto.get(path)).status == 404


async def test_a_message_of_a_missing_page_is_escaped(ecto: Person) -> None:
    answer = await ecto.get("/docs/ecto/1.0.0/%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script" not in answer.body
    answer = await ecto.get("/docs/%3Cscript%3E/")
    assert b"<script" not in answer.body


async def test_the_map_lists_pages_but_not_the_missing_one(ecto: Person) -> None:
    answer = await ecto.get("/docs/ecto/sitemap.xml")
    assert b"/docs/ecto/index.html</loc>" in answer.body
    assert b"404.html" not in answer.body


async def test_everything_of_strangers_is_in_a_sandbox(ecto: Person) -> None:
    for path in ("", "evil.svg", "dist/app-0123ABCD.js", "docs_config.js"):
        answer = await ecto.get(f"/docs/ecto/1.0.0/{path}")
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy
        assert "allow-top-navigation" not in policy
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "..%2F..%2Fetc%2Fpasswd",
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/x",
        "sub/..%2findex.html",
        "\\x",
    ],
)
async def test_no_path_leaves_the_archive(ecto: Person, path: str) -> None:
    assert (await ecto.get(f"/docs/ecto/1.0.0/{path}")).status in (400, 404)


async def test_a_nul_in_a_path_is_refused(ecto: Person) -> None:
    assert (await ecto.get("/docs/ecto/%00")).status == 400


@pytest.fixture
async def acme(hub: TestHub, mara: Person) -> TestHub:
    await hub.user("tomas", password=PASSWORD)
    await hub.user("eve", password=PASSWORD)
    await hub.organization("acme", mara, tomas="read")
    await publish(mara, "ledger", "1.0.0", "acme")
    return hub


async def signed_in(hub: TestHub, name: str) -> Browser:
    browser = Browser(hub)
    await browser.sign_in(name, PASSWORD)
    return browser


async def test_strangers_are_sent_to_sign_in_whatever_they_ask_for(acme: TestHub) -> None:
    for path in ("/repos/acme/docs/ledger/", "/repos/acme/docs/nothing/", "/repos/none/docs/x/"):
        answer = await acme.nobody.get(path)
        assert answer.status == 302
        assert "/login?return=" in answer.headers["Location"]


async def test_who_is_no_member_learns_nothing(acme: TestHub) -> None:
    eve = await signed_in(acme, "eve")
    existing = await eve.get("/repos/acme/docs/ledger/")
    missing = await eve.get("/repos/acme/docs/nothing/")
    assert existing.status == missing.status == 404
    assert existing.text.replace("ledger", "") == missing.text.replace("nothing", "")


async def test_a_member_reads_by_an_address_that_needs_no_cookie(acme: TestHub) -> None:
    tomas = await signed_in(acme, "tomas")
    page = await tomas.get("/repos/acme/docs/ledger/1.0.0/")
    assert page.status == 302
    path = "/repos" + page.location.partition("/repos")[2]
    assert path.startswith("/repos/acme/docs/ledger/1.0.0/~")
    for file in ("", "style.css", "docs_config.js"):
        answer = await acme.nobody.get(path + file)
        assert answer.status == 200
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.headers["Cache-Control"].startswith("private")
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def _token(hub: TestHub) -> str:
    tomas = await signed_in(hub, "tomas")
    location = (await tomas.get("/repos/acme/docs/ledger/1.0.0/")).location
    return location.rstrip("/").rpartition("/")[2]


def _refused(answer: Answer) -> bool:
    return answer.status == 302 and "~" not in answer.headers["Location"]


async def test_a_token_is_good_for_one_place_and_some_minutes(acme: TestHub, mara: Person) -> None:
    await publish(mara, "other", "1.0.0", "acme")
    await publish(mara, "ledger", "1.1.0", "acme")
    token = await _token(acme)
    good = f"/repos/acme/docs/ledger/1.0.0/{token}/style.css"
    assert (await acme.nobody.get(good)).status == 200
    for place in ("ledger/1.1.0", "ledger", "other/1.0.0"):
        answer = await acme.nobody.get(f"/repos/acme/docs/{place}/{token}/style.css")
        assert _refused(answer)
    assert _refused(await acme.nobody.get(good.replace(token, token[:-1] + "x")))
    assert _refused(await acme.nobody.get(good.replace(token, "~zz.é.x")))
    acme.clock.ahead = timedelta(minutes=25)
    assert _refused(await acme.nobody.get(good))


async def test_the_version_menu_leads_on_without_a_cookie_and_no_longer(
    acme: TestHub, mara: Person
) -> None:
    """ExDoc asks by `fetch` whether a page is in the other version."""
    await publish(mara, "ledger", "1.1.0", "acme")
    token = await _token(acme)
    acme.clock.ahead = timedelta(minutes=10)
    menu = f"/repos/acme/docs/ledger/1.0.0/{token}/docs_config.js"
    text = (await acme.nobody.get(menu)).body.decode()
    nodes = json.loads(text.partition("=")[2].rstrip(" ;\n"))
    assert [node["version"] for node in nodes] == ["v1.1.0", "v1.0.0"]
    assert nodes[1]["url"] == f"/repos/acme/docs/ledger/1.0.0/{token}"
    other = f"{nodes[0]['url']}/style.css"
    assert (await acme.nobody.get(other)).status == 200
    acme.clock.ahead = timedelta(minutes=25)
    assert _refused(await acme.nobody.get(other))
    assert b"~" not in (await acme.nobody.get(menu)).body


async def test_a_token_ends_when_its_reader_leaves(acme: TestHub, mara: Person) -> None:
    token = await _token(acme)
    path = f"/repos/acme/docs/ledger/1.0.0/{token}/style.css"
    assert (await acme.nobody.get(path)).status == 200
    from hexhub.schema import Member

    await acme.hub.store.transact(
        lambda tx: tx.delete(Member(organization="acme", username="tomas", role="read"))
    )
    assert _refused(await acme.nobody.get(path))


async def test_a_key_that_grants_docs_reads_them(acme: TestHub) -> None:
    path = "/repos/acme/docs/ledger/1.0.0/style.css"
    for permission, wanted in {"docs:acme": 200, "repositories": 200, "api": 302}.items():
        person = await acme.key("tomas", permission)
        assert (await person.get(path)).status == wanted


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with hubs.running(
        tmp_path, docs_host="docs.example.org", hexhub_url="http://hub.example.org"
    ) as hub:
        yield hub


def _docs(**more: str) -> dict[str, Any]:
    return {"headers": {"Host": "docs.example.org"} | more}


async def test_a_host_of_its_own_needs_no_sandbox(elsewhere: TestHub) -> None:
    mara = await elsewhere.user("mara")
    await publish(mara, "ecto", "1.0.0")
    nobody = elsewhere.nobody
    there = await nobody.get("/docs/ecto/1.0.0/sub/?q=1")
    assert there.headers["Location"] == "http://docs.example.org/ecto/1.0.0/sub/?q=1"
    page = await nobody.request("GET", "/ecto/1.0.0/", **_docs())
    assert page.status == 200
    assert page.body == PAGES["index.html"]
    assert "Content-Security-Policy" not in page.headers
    config = await nobody.request("GET", "/ecto/docs_config.js", **_docs())
    assert b'"url":"/ecto/1.0.0"' in config.body


async def test_the_docs_host_has_nothing_else(elsewhere: TestHub) -> None:
    for path in ("/login", "/api/packages", "/dashboard", "/names", "/health"):
        answer = await elsewhere.nobody.request("GET", path, **_docs())
        assert answer.status in (302, 404)
        assert "Set-Cookie" not in answer.headers
        assert answer.body == b"" or b"documentation" in answer.body


async def test_private_docs_on_their_host_go_by_the_hub_s_session(elsewhere: TestHub) -> None:
    mara = await elsewhere.user("mara", password=PASSWORD)
    await elsewhere.organization("acme", mara)
    await publish(mara, "ledger", "1.0.0", "acme")
    asked = await elsewhere.nobody.request("GET", "/repos/acme/ledger/1.0.0/", **_docs())
    assert asked.headers["Location"] == "http://hub.example.org/repos/acme/docs/ledger/1.0.0/"
    browser = await signed_in(elsewhere, "mara")
    sent = await browser.get("/repos/acme/docs/ledger/1.0.0/")
    assert sent.location.startswith("http://docs.example.org/repos/acme/ledger/1.0.0/~")
    path = sent.location.removeprefix("http://docs.example.org")
    page = await elsewhere.nobody.request("GET", path, **_docs())
    assert (page.status, page.body) == (200, PAGES["index.html"])


async def test_where_only_members_read_public_docs_need_a_reader(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, anonymous_read="false") as hub:
        mara = await hub.user("mara", password=PASSWORD)
        await publish(mara, "ecto", "1.0.0")
        assert "/login" in (await hub.nobody.get("/docs/ecto/")).headers["Location"]
        browser = await signed_in(hub, "mara")
        page = await browser.get("/docs/ecto/")
        assert "/docs/ecto/~" in page.location
