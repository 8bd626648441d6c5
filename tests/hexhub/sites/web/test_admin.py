"""Administration: for administrators alone, and what it changes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hexhub.domain import mails
from hexhub.schema import AuditRecord, Mail, Organization, ReservedName, Rule, User
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
    "/admin/repositories/quota",
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHub]:
    """One hub for all of them, with an administrator and somebody else."""
    async with hubs.running(tmp_path_factory.mktemp("hub")) as running:
        await running.user("root", password=PASSWORD, admin=True)
        await running.user("mara", password=PASSWORD)
        yield running
        assert not running.faults, running.faults[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def root(hub: TestHub) -> Browser:
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


async def test_every_page_is_there_without_an_upstream_too(root: Browser) -> None:
    for path in PAGES:
        assert (await root.get(path)).status == 200, path


async def test_numbers_move_as_events(root: Browser) -> None:
    overview = await root.get("/admin")
    assert 'data-live="/admin/live"' in overview.text
    stream = (await root.get("/admin/live")).text
    values = [json.loads(line) for line in re.findall(r"^data: (.*)$", stream, re.M)]
    moving = {"requests", "rate", "errors", "latency", "applied", "stored", "disk", "behind"}
    assert moving | {"hex_hub1:state", "hex_hub1:lag", "hex_hub1:role"} == values[0].keys() - {
        "hex_hub1:applied",
        "role",
        "term",
    }
    assert values[0]["hex_hub1:state"] == ["reachable", "badge good"]
    counted = [int(each["requests"]) for each in values]
    assert counted == sorted(counted)


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
    await hub.user("ida")

    async def state() -> tuple[bool, bool]:
        with hub.hub.store.view() as view:
            user = view.get(User, "ida")
        assert user is not None
        return user.disabled, user.admin

    await root.send("/admin/users", "/admin/users/ida/disable")
    assert await state() == (True, False)
    await root.send("/admin/users", "/admin/users/ida/enable")
    await root.send("/admin/users", "/admin/users/ida/promote")
    assert await state() == (False, True)
    await root.send("/admin/users", "/admin/users/ida/demote")
    assert await state() == (False, False)


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


async def test_members_are_taken_in_and_let_go(hub: TestHub, root: Browser) -> None:
    await hub.user("nils")
    await root.send("/admin/organizations", "/admin/organizations", name="forest", admin="mara")
    members = "/admin/organizations/forest/members"

    async def put(who: str, role: str) -> int:
        sent = await root.send("/admin/organizations?q=forest", members, who=who, role=role)
        return sent.status

    assert await put("nils", "read") == 303
    assert await put("nils", "write") == 303
    assert "nils" in (await root.get("/admin/organizations?q=forest")).text
    assert await put("nils", "") == 303
    assert await put("mara", "") == 422  # the last one stays
    assert await put("nobody", "read") == 422


async def test_every_key_is_found_and_can_be_revoked(hub: TestHub, root: Browser) -> None:
    owner = await hub.user("kim", permissions=("api:read",))
    await hub.organization("keyed", owner)
    machine = await hub.key("keyed", "repository:keyed", organization=True)
    await owner.get("/api/users/me")
    await hub.hub.counters.flush()
    everything = (await root.get("/admin/keys")).text
    assert "repository:keyed" in everything
    assert hubs.AGENT in everything  # who used it last
    assert "keyed" in (await root.get("/admin/keys?q=keyed&show=org")).text
    nothing = (await root.get("/admin/keys?q=keyed&show=user")).text
    assert "No key matches" in nothing
    assert (await machine.get("/repos/keyed/names")).status == 200
    sent = await root.send("/admin/keys?q=keyed&show=org", "/admin/keys/revoke")
    assert sent.location == "/admin/keys?q=keyed&show=org&page=1"
    assert (await machine.get("/repos/keyed/names")).status in (401, 403, 404)
    assert "No key matches" in (await root.get("/admin/keys?q=keyed&show=org")).text
    with hub.hub.store.view() as view:
        last = next(r for r in view.scan(AuditRecord, reverse=True) if r.action == "key.remove")
    assert (last.by, last.organization) == ("user:root", "keyed")


async def test_own_packages_of_every_repository_are_listed(hub: TestHub, root: Browser) -> None:
    mara = await hub.key("mara", "api")
    await hub.organization("hidden", await hub.user("lea"))
    lea = await hub.key("lea", "api")
    await mara.publish(package("seen"))
    await lea.publish(package("unseen"), repository="hidden")
    listed = (await root.get("/admin/packages")).text
    assert "/admin/packages/hexpm/seen" in listed
    assert "/admin/packages/hidden/unseen" in listed
    assert "seen" not in (await root.get("/admin/packages?repository=forest")).text.split("<h1>")[1]
    repositories = (await root.get("/admin/repositories")).text
    assert "/admin/packages?repository=hidden" in repositories
    shown = await root.get("/admin/packages/hidden/unseen")
    assert "lea" in shown.text
    address = "/admin/packages/hidden/unseen"
    slip = await root.send(address, f"{address}/remove", reason="a test", confirm="seen")
    assert slip.status == 422
    await root.send(address, f"{address}/remove", reason="a test", confirm="unseen")
    assert (await root.get(address)).status == 404


async def test_the_audit_log_is_searched_and_read_page_by_page(
    hub: TestHub, root: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hexhub.sites.web.admin.gate.PER_PAGE", 3)
    for number in range(7):
        await root.send("/admin/names", "/admin/names/reserve", pattern=f"paged{number}_*")
    address, seen = "/admin/audit?q=paged", []
    for _ in range(20):
        page = (await root.get(address)).text
        seen += re.findall(r"paged(\d)_", page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if older is None:
            break
        address = older[1].replace("&amp;", "&")
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert "Nothing found here" in (await root.get("/admin/audit?q=nothinglikeit")).text


async def test_a_mail_that_was_given_up_is_tried_again(hub: TestHub, root: Browser) -> None:
    def give_up(tx: Any, to: str) -> None:
        mails.queue(tx, to, "password_reset", {}, hub.hub.now())
        (row,) = [mail for mail in tx.scan(Mail) if mail.to == to]
        key = (row.moment, row.to, row.n)
        mails.settle(tx, key, mails.Failure("no such mailbox", final=True), hub.hub.now())

    await hub.hub.store.transact(give_up, "lost@example.org")
    listed = await root.get("/admin/mails?state=given+up")
    assert "no such mailbox" in listed.text
    sent = await root.submit(listed, "/admin/mails/again")
    assert sent.status == 303
    with hub.hub.store.view() as view:
        (mail,) = [each for each in view.scan(Mail) if each.to == "lost@example.org"]
    assert mail.due is not None
    assert (await root.post("/admin/mails/again", {"csrf": "x"})).status == 403


async def test_after_giving_the_password_again_one_is_at_the_page_of_the_form(
    hub: TestHub, root: Browser
) -> None:
    page = await root.get("/admin/keys")
    hub.clock.ahead += 90 * hub.minute
    try:
        sent = await root.submit(page, "/admin/keys/revoke")
        assert sent.location == "/login/confirm?return=/admin/keys"
    finally:
        hub.clock.ahead -= 90 * hub.minute
