"""The pages of an organization: who comes and goes, its keys, its log."""

from __future__ import annotations

import re

import pytest

from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

PASSWORD = "a good password"


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
