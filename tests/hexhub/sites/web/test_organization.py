"""The pages of an organization: its policies, what happened in it, and where its forms lead."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import unquote

import pytest

from hexhub.domain import audit
from hexhub.http.metrics import Metrics
from hexhub.schema import Policy, PolicyOverride, PolicyRules
from hexhub.sites import web
from tests.end_to_end.packages import tarball
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import Person, TestHub

PASSWORD = "correct horse battery"
TAB = "/orgs/acme?show=policies"
PUT, DELETE = "/orgs/acme/policies", "/orgs/acme/policies/delete"
STRICT = {
    "policy": "strict",
    "description": "What may be used",
    "hexpm__cooldown": "7d",
    "hexpm__severity": "high",
    "hexpm__retired__security": "on",
    "hexpm__overrides": "allow jason ~> 1.4 and < 1.9.0\nDENY left_pad",
}


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    mara = await hub.user("mara", password=PASSWORD)
    await hub.user("tomas", password=PASSWORD)
    await hub.organization("acme", mara, tomas="read")
    return mara


@pytest.fixture
async def browser(hub: TestHub, mara: Person) -> Browser:
    browser = Browser(hub)
    await browser.sign_in("mara", PASSWORD)
    return browser


def policies(hub: TestHub) -> list[Policy]:
    with hub.hub.store.view() as view:
        return list(view.scan(Policy, "acme"))


async def test_a_policy_is_made_signed_changed_and_deleted(hub: TestHub, browser: Browser) -> None:
    answer = await browser.send(TAB, PUT, visibility="private", **STRICT)
    assert (answer.status, answer.location) == (303, TAB)
    (policy,) = policies(hub)
    assert (policy.name, policy.description, policy.visibility) == (
        "strict",
        "What may be used",
        "private",
    )
    assert policy.rules == (
        PolicyRules(
            repository="hexpm",
            advisory_min_severity="high",
            retirement_reasons=("security",),
            cooldown="7d",
            overrides=(
                PolicyOverride(action="allow", package="jason", requirement="~> 1.4 and < 1.9.0"),
                PolicyOverride(action="deny", package="left_pad"),
            ),
        ),
        PolicyRules(repository="acme"),
    )
    page = await browser.get(TAB)
    assert "mix hex.config policy acme/strict" in page.text
    page = await browser.get(f"{TAB}&policy=strict")
    assert "allow jason ~&gt; 1.4 and &lt; 1.9.0\ndeny left_pad" in page.text
    await browser.submit(page, PUT, visibility="public", hexpm__cooldown="2w")
    (policy,) = policies(hub)
    assert (policy.visibility, [each.repository for each in policy.rules]) == ("public", ["hexpm"])
    assert (await hub.nobody.get("/repos/acme/policies/strict")).status == 200
    await browser.send(TAB, DELETE)
    assert policies(hub) == []


async def test_what_is_wrong_is_said_and_what_was_typed_stays(
    hub: TestHub, browser: Browser
) -> None:
    for wrong, said in (
        ({"policy": "no"}, "name: has invalid format"),
        ({"hexpm__cooldown": "soon"}, "cooldown: must be 0, or a number and d, w or mo"),
        ({"hexpm__overrides": "jason"}, "exceptions: each line is a word, a package"),
        ({"hexpm__overrides": "allow jason nonsense"}, "exceptions: requirement: is invalid"),
        ({"visibility": "secret"}, "visibility: is invalid"),
    ):
        page = await browser.send(TAB, PUT, **{"visibility": "private", **STRICT, **wrong})
        assert page.status == 422
        assert said in page.text.lower()
        assert 'value="What may be used"' in page.text
    assert policies(hub) == []


async def test_members_read_policies_and_change_none(hub: TestHub, browser: Browser) -> None:
    await browser.send(TAB, PUT, visibility="private", **STRICT)
    tomas = Browser(hub)
    await tomas.sign_in("tomas", PASSWORD)
    page = await tomas.get(TAB)
    assert "strict" in page.text
    assert not [form for form in page.forms() if "policies" in form.action]
    csrf = (await tomas.get("/dashboard/keys")).form("/dashboard/keys").fields["csrf"]
    assert (await tomas.post(DELETE, {"csrf": csrf, "policy": "strict"})).status == 403
    assert (await tomas.post(PUT, {"csrf": csrf, "policy": "other"})).status == 403
    assert len(policies(hub)) == 1


async def test_what_happened_is_read_a_page_at_a_time(
    hub: TestHub, mara: Person, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PER_PAGE", 2)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        await mara.publish(tarball("ledger", version, {"a": b"a"}), repository="acme")
    for tab in ("/packages/acme/ledger?show=audit", "/orgs/acme?show=audit", "/dashboard/audit?x"):
        first = await browser.get(tab)
        assert "1.2.0" in first.text
        assert "1.0.0" not in first.text
        assert 'rel="prev"' not in first.text
        older = re.search(r'href="([^"]+)" rel="next"', first.text)
        assert older
        second = await browser.get(older[1].replace("&amp;", "&"))
        assert "1.0.0" in second.text
        assert 'rel="prev"' in second.text
        last = await browser.get(f"{tab}&page=500")
        assert 'rel="next"' not in last.text
        for nonsense in ("-1", "x", "9" * 40, "٣", "0"):
            assert (await browser.get(f"{tab}&page={nonsense}")).status == 200


async def test_after_the_password_was_asked_for_again_there_is_a_page(
    hub: TestHub, mara: Person, browser: Browser
) -> None:
    """Most addresses of forms are no pages: one goes on to the page of the form."""
    await mara.publish(tarball("ledger", "1.0.0", {"a": b"a"}), repository="acme")
    csrf = (await browser.get("/dashboard/keys")).form("/dashboard/keys").fields["csrf"]
    hub.clock.ahead = timedelta(hours=2)
    values = {"repository": "acme", "name": "acme", "action": "remove", "who": "tomas"}
    asked = 0
    for route in web.routes(Metrics()):
        if route.method != "POST" or "password lately" not in route.allow.name:
            continue
        if route.pattern.startswith("/admin"):
            continue
        path = re.sub(r"\{(\w+)\}", lambda part: values[part[1]], route.pattern)
        path = path.replace("/manage/acme/acme/", "/manage/acme/ledger/")
        sent = await browser.post(path, {"csrf": csrf})
        assert sent.location.startswith("/login/confirm?return=")
        await browser.send(sent.location, "/login/confirm", password=PASSWORD)
        landed = await browser.open(unquote(sent.location.partition("return=")[2]))
        # That of a client is one only with its query.
        assert landed.status == 200 or path == "/oauth/authorize", path
        asked += 1
        hub.clock.ahead += timedelta(hours=2)
    assert asked >= 15
