"""The pages that people read: packages, files, differences, feeds, badges."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hexhub.domain import advisories
from hexhub.domain.audit import OPERATOR
from hexhub.formats import osv
from tests.end_to_end.packages import Requirement, docs_archive, tarball
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.formats.test_osv import advisory
from tests.hexhub.hubs import Answer, Person, TestHub

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html,application/xhtml+xml"}
FILES = {
    "README.md": b"# Ecto\n\n*Toolkit*, see [more](lib/ecto.ex) ![x](logo.svg)",
    "lib/ecto.ex": b"defmodule Ecto do\n  def one, do: 1\nend\n",
    "logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "evil.html": b"<script>alert(1)</script>",
    "data.bin": bytes(range(256)) * 4,
    "odd & <name>.txt": b"odd",
}


async def page(person: Person, path: str, **headers: str) -> Answer:
    return await person.request("GET", path, headers=HTML | headers)


@pytest.fixture
async def ecto(hub: TestHub, mara: Person) -> Person:
    wants = {"decimal": Requirement("~> 2.0"), "jason": Requirement("~> 1.0", optional=True)}
    for tar in (
        tarball("decimal", "2.0.0", {"a": b"a"}),
        tarball("jason", "1.0.0", {"a": b"a"}),
        tarball("ecto", "1.0.0", FILES, requirements=wants),
        tarball(
            "ecto",
            "1.1.0",
            FILES | {"lib/ecto.ex": FILES["lib/ecto.ex"].replace(b"1", b"2"), "new": b"new\n"},
            requirements=wants,
        ),
    ):
        answer = await mara.publish(tar)
        assert answer.status == 201, answer.body
    return hub.nobody


async def test_the_home_page_of_an_empty_hub_has_the_lines_that_fill_it(hub: TestHub) -> None:
    body = (await page(hub.nobody, "/")).body.decode()
    assert "This hub is empty" in body
    assert f"HEX_API_URL={hub.hub.url}/api" in body


async def test_the_home_page_shows_who_published_what(ecto: Person) -> None:
    body = (await page(ecto, "/")).body.decode()
    assert "Recently published" in body
    assert '<a class="name" href="/packages/ecto">ecto</a>' in body
    assert 'by <a href="/users/mara">mara</a>' in body


async def test_the_same_path_is_a_page_for_browsers_and_a_resource_for_clients(
    ecto: Person,
) -> None:
    assert b"<!doctype html>" in (await page(ecto, "/packages/ecto")).body
    assert (await ecto.get("/packages/ecto")).body.startswith(b"\x1f\x8b")
    assert b"<!doctype html>" in (await page(ecto, "/packages")).body
    api = await ecto.get("/api/packages/ecto", Accept="application/json")
    assert api.value["name"] == "ecto"


async def test_a_package_page_tells_what_is_known(ecto: Person, mara: Person) -> None:
    body = (await page(ecto, "/packages/ecto")).body.decode()
    assert "<em>Toolkit</em>" in body
    assert '"~&gt; 1.1"' in body or "{:ecto, &#34;~&gt; 1.1&#34;}" in body
    assert "dep_ecto = hex 1.1.0" in body
    assert "/diff/ecto/1.0.0..1.1.0" in body
    versions = (await page(ecto, "/packages/ecto?show=versions")).body.decode()
    assert versions.count("/files") >= 2
    needs = (await page(ecto, "/packages/ecto?show=dependencies")).body.decode()
    assert '<a href="/packages/decimal">decimal</a>' in needs
    assert "optional" in needs
    wanted = (await page(ecto, "/packages/decimal?show=dependants")).body.decode()
    assert 'href="/packages/ecto"' in wanted


async def test_a_retired_release_says_so_on_its_page(ecto: Person, mara: Person) -> None:
    await mara.post(
        "/api/packages/ecto/releases/1.0.0/retire",
        {"reason": "security", "message": "Update <now>"},
    )
    body = (await page(ecto, "/packages/ecto/1.0.0")).body.decode()
    assert "This release is retired: security." in body
    assert "Update &lt;now&gt;" in body
    assert "1.1.0" in body


async def test_files_are_listed_shown_and_given(ecto: Person) -> None:
    listed = (await page(ecto, "/packages/ecto/1.0.0/files")).body.decode()
    assert "6 files in ecto 1.0.0" in listed
    assert "odd &amp; &lt;name&gt;.txt" in listed
    shown = (await page(ecto, "/packages/ecto/1.0.0/files/lib/ecto.ex")).body.decode()
    assert '<span class="kd">defmodule</span>' in shown
    raw = await ecto.get("/packages/ecto/1.0.0/raw/odd%20&%20%3Cname%3E.txt")
    assert raw.body == b"odd"
    folder = await page(ecto, "/packages/ecto/1.0.0/files/lib")
    assert folder.status == 200
    assert (await page(ecto, "/packages/ecto/1.0.0/files/none")).status == 404
    binary = (await page(ecto, "/packages/ecto/1.0.0/files/data.bin")).body.decode()
    assert "Not shown here" in binary


async def test_nothing_raw_can_run(ecto: Person) -> None:
    for path, kind in {"logo.svg": "image/svg+xml", "evil.html": "text/plain"}.items():
        raw = await ecto.get(f"/packages/ecto/1.0.0/raw/{path}")
        assert raw.headers["Content-Type"].startswith(kind)
        assert "sandbox" in raw.headers["Content-Security-Policy"]
        assert "default-src 'none'" in raw.headers["Content-Security-Policy"]
        assert raw.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_picture_that_a_package_lacks_is_drawn_as_missing(ecto: Person) -> None:
    answer = await ecto.get("/packages/ecto/1.0.0/raw/assets/logo.png", Accept="image/*")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "image/svg+xml")
    answer = await page(ecto, "/packages/ecto/1.0.0/raw/assets/logo.png")
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_publishes_of_one_package_stand_together(ecto: Person, mara: Person) -> None:
    await mara.publish(tarball("later", "1.0.0", {"a": b"a"}))
    text = (await page(ecto, "/")).body.decode()
    rows = text.partition('<ul class="rows"')[2].partition("</ul>")[0].split("<li>")[1:]
    assert [re.findall(r'href="(/packages/[^"]+)"', row) for row in rows[:2]] == [
        ["/packages/later", "/packages/later/1.0.0"],
        ["/packages/ecto", "/packages/ecto/1.1.0", "/packages/ecto/1.0.0"],
    ]


async def test_a_fault_of_the_hub_is_a_page_too(
    ecto: Person, hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("hexhub.sites.web.front.reading.repositories", broken)
    answer = await page(ecto, "/")
    assert answer.status == 500
    assert b"Something broke here" in answer.body
    assert b"foresaw" not in answer.body
    assert "nobody foresaw this" in hub.faults.pop()


async def test_a_difference_shows_changed_lines_and_new_files(ecto: Person) -> None:
    body = (await page(ecto, "/diff/ecto/1.0.0..1.1.0")).body.decode()
    assert "2 files changed" in body
    assert "def one, do: 2" in body
    chosen = await page(ecto, "/diff/ecto?from=1.0.0&to=1.1.0")
    assert chosen.headers["Location"] == "/diff/ecto/1.0.0..1.1.0"
    for path in ("/diff/ecto/1.0.0", "/diff/ecto/1.0.0..9.9.9", "/diff/none/1.0.0..1.1.0"):
        assert (await page(ecto, path)).status == 404


async def test_lists_are_searched_and_sorted(ecto: Person) -> None:
    body = (await page(ecto, "/packages?search=name:dec*")).body.decode()
    assert "1 package for" in body
    body = (await page(ecto, "/packages?search=nothinglikeit")).body.decode()
    assert "Nothing is called or described like that" in body
    hits = (await ecto.get("/search.json?q=ect")).value
    assert hits[0]["url"] == "/packages/ecto"


@pytest.mark.parametrize(
    "query", ["search=%3Cscript%3E", "page=99999999", "sort=%22%3E", "page=-1"]
)
async def test_no_query_breaks_the_list(ecto: Person, query: str) -> None:
    answer = await page(ecto, f"/packages?{query}")
    assert answer.status == 200
    assert b"<script>" not in answer.body


async def test_feeds_and_maps_are_well_formed(ecto: Person) -> None:
    feed = ElementTree.fromstring((await ecto.get("/feeds/releases.xml")).body)
    atom = "{http://www.w3.org/2005/Atom}"
    titles = [entry.findtext(f"{atom}title") for entry in feed.findall(f"{atom}entry")]
    assert "ecto 1.1.0" in titles
    own = ElementTree.fromstring((await ecto.get("/feeds/packages/ecto.xml")).body)
    assert len(own.findall(f"{atom}entry")) == 2
    sitemap = (await ecto.get("/sitemap.xml")).body
    assert b"/packages/ecto</loc>" in sitemap
    ElementTree.fromstring(sitemap)
    ElementTree.fromstring((await ecto.get("/hexsearch.xml")).body)


async def test_badges_are_pictures(ecto: Person) -> None:
    badge = await ecto.get("/badges/ecto.svg")
    assert badge.headers["Content-Type"] == "image/svg+xml"
    assert "v1.1.0" in ElementTree.fromstring(badge.body).get("aria-label", "")
    again = await ecto.get("/badges/ecto.svg", If_None_Match=badge.headers["ETag"])
    assert again.status == 304
    assert (await ecto.get("/badges/ecto/license.svg")).status == 200
    assert (await ecto.get("/badges/none.svg")).status == 404


async def test_a_page_of_a_person_lists_what_they_own(ecto: Person) -> None:
    body = (await page(ecto, "/users/mara")).body.decode()
    assert 'href="/packages/ecto"' in body
    assert (await page(ecto, "/users/nobody_here")).status == 404


async def test_set_up_and_guides_carry_this_hub_s_facts(hub: TestHub) -> None:
    body = (await page(hub.nobody, "/setup")).body.decode()
    assert hub.hub.fingerprint in body
    assert "HEX_CDN=" in body
    index = (await page(hub.nobody, "/help")).body.decode()
    for guide in set(re.findall(r'href="(/help/[a-z]+)"', index)):
        assert (await page(hub.nobody, guide)).status == 200
    assert (await page(hub.nobody, "/help/nothing")).status == 404


async def test_a_key_is_put_into_the_lines_for_who_is_signed_in(hub: TestHub) -> None:
    mara = await hub.user("mara", password=PASSWORD)
    await hub.organization("acme", mara)
    browser = Browser(hub)
    await browser.sign_in("mara", PASSWORD)
    made = await browser.submit(await browser.get("/setup?repository=acme"), "/setup/key")
    assert made.status == 200
    (secret,) = set(re.findall(r"--auth-key ([0-9a-f]{32})\b", re.sub("<[^>]*>", "", made.text)))
    assert (await hub.key("mara", "api")).authorization != secret
    with_key = Person(hub, "mara", secret)
    assert (await with_key.get("/repos/acme/names")).status == 200
    assert (await with_key.get("/api/users/me", Accept="application/json")).status == 401


async def test_a_closed_hub_puts_the_key_into_the_public_lines_too(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, anonymous_read="false") as hub:
        mara = await hub.user("mara", password=PASSWORD)
        await mara.publish(tarball("ecto", "1.0.0", FILES))
        browser = Browser(hub)
        await browser.sign_in("mara", PASSWORD)
        shown = re.sub("<[^>]*>", "", (await browser.get("/setup")).text)
        for line in (
            "--auth-key KEY",
            "repo_key =&gt; &lt;&lt;&#34;KEY",
            "secrets.HUB_KEY",
            "hostRules",
        ):
            assert line in shown
        made = await browser.submit(await browser.get("/setup"), "/setup/key")
        text = re.sub("<[^>]*>", "", made.text)
        (secret,) = set(re.findall(r"--auth-key ([0-9a-f]{32})\b", text))
        assert (await Person(hub, "mara", secret).get("/repo/packages/ecto")).status == 200
        assert (await hub.nobody.get("/repo/packages/ecto")).status == 404
        home = re.sub("<[^>]*>", "", (await browser.get("/")).text)
        assert "--public-key hub.pem --auth-key KEY" in home


@pytest.fixture
async def acme(hub: TestHub, mara: Person) -> TestHub:
    await hub.user("tomas", password=PASSWORD)
    await hub.user("eve", password=PASSWORD)
    await hub.organization("acme", mara, tomas="read")
    answer = await mara.publish(tarball("ledger", "1.0.0", FILES), repository="acme")
    assert answer.status == 201
    answer = await mara.post(
        "/api/repos/acme/packages/ledger/releases/1.0.0/docs",
        data=docs_archive({"index.html": b"<body>Classified bookkeeping"}),
    )
    assert answer.status == 201
    await hub.hub.docs_search.settled()
    return hub


PRIVATE = (
    "/packages/acme/ledger",
    "/packages/acme/ledger/1.0.0",
    "/packages/acme/ledger/1.0.0/files",
    "/packages/acme/ledger/1.0.0/files/README.md",
    "/packages/acme/ledger/1.0.0/raw/README.md",
    "/diff/acme/ledger/1.0.0..1.0.0",
    "/feeds/packages/acme/ledger.xml",
)
EVERYWHERE = (
    "/",
    "/packages",
    "/packages?search=ledg",
    "/search?q=classified",
    "/search.json?q=ledg",
    "/search.json?q=classified",
    "/feeds/releases.xml",
    "/sitemap.xml",
    "/users/mara",
)


async def test_members_see_private_packages_and_nobody_else_does(acme: TestHub) -> None:
    tomas, eve = Browser(acme), Browser(acme)
    await tomas.sign_in("tomas", PASSWORD)
    await eve.sign_in("eve", PASSWORD)
    for path in PRIVATE:
        assert (await tomas.get(path)).status == 200, path
        for stranger in (await page(acme.nobody, path), (await eve.get(path)).answer):
            assert stranger.status == 404, path
            assert b"Toolkit" not in stranger.body
    assert "ledger" in (await tomas.get("/search.json?q=classified")).text


async def test_no_list_names_what_is_private(acme: TestHub) -> None:
    eve = Browser(acme)
    await eve.sign_in("eve", PASSWORD)
    for path in EVERYWHERE:
        for answer in (await page(acme.nobody, path), (await eve.get(path)).answer):
            assert b"ledger" not in answer.body, path
            assert b"bookkeeping" not in answer.body, path


async def test_where_only_members_read_pages_ask_to_sign_in(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, anonymous_read="false") as hub:
        mara = await hub.user("mara")
        await mara.publish(tarball("ecto", "1.0.0", FILES))
        for path in (*EVERYWHERE, "/packages/ecto", "/badges/ecto.svg", "/diff/ecto/1.0.0..1.0.0"):
            answer = await page(hub.nobody, path)
            assert answer.status == 303, path
            assert answer.headers["Location"].startswith("/login?return=")
        assert (await page(hub.nobody, "/login")).status == 200


async def test_pages_carry_a_strict_policy_and_load_nothing_from_elsewhere(ecto: Person) -> None:
    for path in ("/", "/packages", "/packages/ecto", "/setup", "/help/api", "/none"):
        answer = await page(ecto, path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        body = answer.body.decode()
        if path != "/none":
            assert len(answer.body) < 100_000
            (nonce,) = set(re.findall(r'nonce="([^"]+)"', body))
            assert f"'nonce-{nonce}'" in policy
        assert not re.findall(
            r"<(?:script|link rel=\"(?!canonical)|img)[^>]+(?:src|href)=\"(?:https?:)?//", body
        )
        assert not re.findall(r"\son[a-z]+=|style=\"", body)


async def test_static_files_are_kept_for_ever_under_their_hash(ecto: Person) -> None:
    body = (await page(ecto, "/")).body.decode()
    for address in re.findall(r'"(/assets/[^"]+)"', body):
        answer = await ecto.get(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert (await ecto.get("/assets/none.css")).status == 404


async def test_a_theme_is_kept_without_script_and_leads_back_only_here(hub: TestHub) -> None:
    browser = Browser(hub)
    back = await browser.post("/theme", {"theme": "dark", "back": "/packages"})
    assert (back.status, back.location) == (303, "/packages")
    assert 'data-theme="dark"' in (await browser.get("/")).text
    for evil in ("//example.org", "/\\example.org", "https://example.org"):
        assert (await browser.post("/theme", {"theme": "x", "back": evil})).location == "/"


async def test_downloads_are_drawn(ecto: Person, hub: TestHub) -> None:
    await ecto.get("/tarballs/ecto-1.0.0.tar")
    await hub.hub.counters.flush()
    hub.clock.ahead = timedelta(days=2)
    body = (await page(ecto, "/packages/ecto")).body.decode()
    assert "Downloads by week over half a year: 1 in the last week" in body


async def test_an_advisory_is_shown_with_the_releases_it_is_about(
    hub: TestHub, mara: Person
) -> None:
    for version in ("1.0.0", "1.2.0"):
        await mara.publish(tarball("acorn", version, FILES))
    entry = osv.read(advisory(summary="Tags <leak>"))
    await hub.hub.store.transact(advisories.put, OPERATOR, [entry], hub.hub.now())
    body = (await page(hub.nobody, "/packages/acorn/1.0.0")).body.decode()
    assert "security advisory" in body
    assert "EEF-CVE-2026-0001" in body
    assert "Tags &lt;leak&gt;" in body
    assert "security advisory" not in (await page(hub.nobody, "/packages/acorn")).body.decode()
