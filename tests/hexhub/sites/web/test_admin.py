"""Administration: for administrators alone, and what it changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hexhub.schema import AuditRecord, Organization, ReservedName, Rule, User
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

PASSWORD = "a good password"
PAGES = (
    "/admin",
    "/admin/live",
    "/admin/users",
    "/admin/organizations",
    "/admin/keys",
    "/admin/repositories",
    "/admin/packages",
    "/admin/names",
    "/admin/upstream",
    "/admin/kept",
    "/admin/rules",
    "/admin/storage",
    "/admin/backups",
    "/admin/jobs",
    "/admin/notice",
    "/admin/mails",
    "/admin/audit",
)
CHANGES = (
    "/admin/users/new",
    "/admin/users/mara/promote",
    "/admin/users/mara/link",
    "/admin/organizations",
    "/admin/organizations/acme/members",
    "/admin/keys/revoke",
    "/admin/packages/hexpm/x/remove",
    "/admin/rules/new",
    "/admin/rules/remove",
    "/admin/names/allow",
    "/admin/names/reserve",
    "/admin/notice",
    "/admin/upstream",
    "/admin/upstream/test",
    "/admin/kept/refresh",
    "/admin/kept/evict",
    "/admin/kept/x/forget",
    "/admin/storage/test",
    "/admin/storage/count",
    "/admin/backups/new",
    "/admin/backups/verify",
    "/admin/backups/download",
    "/admin/jobs/x/stop",
    "/admin/mails/again",
)


@pytest.fixture
async def root(hub: TestHub) -> Browser:
    await hub.user("root", password=PASSWORD, admin=True)
    await hub.user("mara", password=PASSWORD)
    browser = Browser(hub)
    await browser.sign_in("root", PASSWORD)
    return browser


async def test_for_others_it_is_not_there(hub: TestHub, root: Browser) -> None:
    mara = Browser(hub)
    await mara.sign_in("mara", PASSWORD)
    token = (await mara.get("/dashboard/keys")).form("/dashboard/keys").fields["csrf"]
    for path in PAGES:
        assert (await Browser(hub).get(path)).location.startswith("/login"), path
        assert (await mara.get(path)).status == 404, path
    for path in CHANGES:
        assert (await mara.post(path, {"csrf": token, "name": "x"})).status == 404, path
        assert (await root.post(path, {"name": "x"})).status == 403, path
    with hub.hub.store.view() as view:
        mara_now = view.get(User, "mara")
    assert mara_now is not None
    assert not mara_now.admin


async def test_every_page_is_there_without_an_upstream_too(root: Browser, tmp_path: Path) -> None:
    for path in PAGES:
        assert (await root.get(path)).status == 200, path


async def test_numbers_move_as_events(root: Browser) -> None:
    overview = await root.get("/admin")
    assert 'data-live="/admin/live"' in overview.text
    stream = (await root.get("/admin/live")).text
    values = [json.loads(line) for line in re.findall(r"^data: (.*)$", stream, re.M)]
    assert {"requests", "latency", "applied"} <= values[0].keys()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hexhub.sites.web.admin.overview.TICK_S", 0.01)


async def test_an_account_is_made_and_its_link_sets_a_password(hub: TestHub, root: Browser) -> None:
    made = await root.send(
        "/admin/users", "/admin/users/new", username="tomas", email="tomas@example.org"
    )
    (link,) = re.findall(r"(/password/new\?[^<\"\s]+)", made.text.replace("&amp;", "&"))
    tomas = Browser(hub)
    await tomas.send(link, "/password/new", password="another good one")
    assert (await tomas.sign_in("tomas", "another good one")).status == 303
    with hub.hub.store.view() as view:
        record = next(
            each
            for each in view.scan(AuditRecord, reverse=True)
            if each.action == "user.create" and each.by == "user:root"
        )
    assert "tomas" in str(record.params)


async def test_wrong_values_are_said_in_words(root: Browser) -> None:
    made = await root.send("/admin/users", "/admin/users/new", username="MARA!", email="nothing")
    assert made.status == 422
    assert 'role="alert"' in made.text
    rule = await root.send("/admin/rules", "/admin/rules/new", kind="cooldown", value="soon")
    assert rule.status == 422


async def test_accounts_are_switched_off_and_on(hub: TestHub, root: Browser) -> None:
    async def state() -> tuple[bool, bool]:
        with hub.hub.store.view() as view:
            user = view.get(User, "mara")
        assert user is not None
        return user.disabled, user.admin

    await root.send("/admin/users", "/admin/users/mara/disable")
    assert await state() == (True, False)
    await root.send("/admin/users", "/admin/users/mara/enable")
    await root.send("/admin/users", "/admin/users/mara/promote")
    assert await state() == (False, True)


async def test_a_notice_is_on_every_page_and_in_every_client(hub: TestHub, root: Browser) -> None:
    await root.send("/admin/notice", "/admin/notice", text="Down <on> Sunday", level="warn")
    page = (await Browser(hub).get("/")).text
    assert "Down &lt;on&gt; Sunday" in page
    answer = await hub.nobody.get("/api/packages", Accept="application/json")
    assert "Sunday" in answer.headers["X-Hex-Message"]
    wrong = await root.send("/admin/notice", "/admin/notice", text='a "quote"', level="warn")
    assert wrong.status == 422
    await root.send("/admin/notice", "/admin/notice/clear")
    assert "Sunday" not in (await Browser(hub).get("/")).text


async def test_an_administrator_does_not_lock_themselves_out(root: Browser) -> None:
    assert (await root.send("/admin/users", "/admin/users/root/disable")).status == 422
    assert (await root.send("/admin/users", "/admin/users/root/demote")).status == 422


async def test_organizations_rules_and_names_are_made(hub: TestHub, root: Browser) -> None:
    await root.send("/admin/organizations", "/admin/organizations", name="acme", admin="mara")
    await root.send("/admin/rules", "/admin/rules/new", kind="deny", pattern="left_*")
    await root.send("/admin/names", "/admin/names/reserve", pattern="acme_*")
    with hub.hub.store.view() as view:
        assert view.get(Organization, "acme")
        assert [rule.pattern for rule in view.scan(Rule)] == ["left_*"]
        assert [row.pattern for row in view.scan(ReservedName)] == ["acme_*"]
    asked = await root.get("/admin/rules?name=left_pad&version=1.0.0")
    assert "left_pad 1.0.0 is held back" in asked.text
    await root.send("/admin/rules", "/admin/rules/remove")
    await root.send("/admin/names", "/admin/names/release")
    with hub.hub.store.view() as view:
        assert not list(view.scan(Rule))
        assert not list(view.scan(ReservedName))


async def test_every_page_is_there_with_an_upstream_too(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, upstream_enabled="true", offline="true") as hub:
        await hub.user("root", password=PASSWORD, admin=True)
        browser = Browser(hub)
        await browser.sign_in("root", PASSWORD)
        for path in PAGES:
            assert (await browser.get(path)).status == 200, path
        tested = await browser.send("/admin/upstream", "/admin/upstream/test")
        assert "offline by intention" in tested.text


@pytest.fixture
async def acme(hub: TestHub) -> Browser:
    mara = await hub.user("mara", password=PASSWORD)
    await hub.user("tomas", password=PASSWORD)
    await hub.organization("acme", mara)
    await mara.publish(package("ledger"), repository="acme")
    browser = Browser(hub)
    await browser.sign_in("mara", PASSWORD)
    return browser


async def test_an_organization_takes_people_in_and_lets_them_go(
    hub: TestHub, acme: Browser
) -> None:
    tomas = Browser(hub)
    await tomas.sign_in("tomas", PASSWORD)
    assert (await tomas.get("/orgs/acme")).status == 404
    members = "/orgs/acme?show=members"
    await acme.send(members, "/orgs/acme/members", who="tomas", role="read")
    assert "ledger" in (await tomas.get("/orgs/acme")).text
    assert "acme" in (await tomas.get("/orgs")).text
    assert "/orgs/acme/members" not in (await tomas.get(members)).text
    token = (await tomas.get("/dashboard/keys")).form("/dashboard/keys").fields["csrf"]
    for path in ("members", "members/mara", "keys", "keys/revoke"):
        refused = await tomas.post(f"/orgs/acme/{path}", {"csrf": token, "role": "read"})
        assert refused.status == 403
    await acme.send(members, "/orgs/acme/members/tomas", role="")
    assert (await tomas.get("/orgs/acme")).status == 404


async def test_the_last_administrator_stays(acme: Browser) -> None:
    kept = await acme.send("/orgs/acme?show=members", "/orgs/acme/members/mara", role="read")
    assert kept.status == 422
    assert 'role="alert"' in kept.text


async def test_a_key_of_an_organization_reads_its_packages(hub: TestHub, acme: Browser) -> None:
    made = await acme.send("/orgs/acme?show=keys", "/orgs/acme/keys", key="ci", may="read")
    (secret,) = set(re.findall(r"\b[0-9a-f]{32}\b", made.text))
    machine = hubs.Person(hub, "acme", secret)
    assert (await machine.get("/repos/acme/names")).status == 200
    await acme.send("/orgs/acme?show=keys", "/orgs/acme/keys/revoke", key="ci")
    assert (await machine.get("/repos/acme/names")).status == 404


async def test_who_owns_a_package_sees_its_log_and_others_do_not(
    hub: TestHub, acme: Browser
) -> None:
    log = await acme.get("/packages/acme/ledger?show=audit")
    assert "release.publish" in log.text
    assert "organization" in (await acme.get("/orgs/acme?show=audit")).text
    mara = await hub.key("mara", "api")
    await mara.publish(package("open"))
    assert (await Browser(hub).get("/packages/open?show=audit")).status == 404


async def test_somebody_makes_an_organization_and_administers_it(
    hub: TestHub, acme: Browser
) -> None:
    tomas = Browser(hub)
    await tomas.sign_in("tomas", PASSWORD)
    taken = await tomas.send("/orgs", "/orgs", name="acme")
    assert taken.status == 422
    assert "already been taken" in taken.text
    await tomas.send("/orgs", "/orgs", name="forest")
    assert "admin" in (await tomas.get("/orgs/forest?show=members")).text
    assert (await acme.get("/orgs/forest")).status == 404
