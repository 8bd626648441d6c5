"""Quotas on the pages: set by an administrator, seen by the organization's members."""

from __future__ import annotations

from hexhub.schema import AuditRecord, Quota
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

PASSWORD = "a good password"
PAGE, ACTION = "/admin/repositories", "/admin/repositories/quota"


async def test_an_administrator_bounds_a_repository_and_its_members_see_it(hub: TestHub) -> None:
    await hub.user("root", password=PASSWORD, admin=True)
    mara = await hub.user("mara", password=PASSWORD)
    await hub.organization("acme", mara)
    await mara.publish(package("ledger"), repository="acme")
    root, member = Browser(hub), Browser(hub)
    await root.sign_in("root", PASSWORD)
    await member.sign_in("mara", PASSWORD)

    assert "Quota:" not in (await member.get("/orgs/acme")).text
    sent = await root.send(PAGE, ACTION, repository="acme", mebibytes="2", packages="1")
    assert sent.status == 303
    assert "1 of 1 packages" in (await root.get(PAGE)).text
    assert "of 2.1 MB" in (await member.get("/orgs/acme")).text
    assert (await mara.publish(package("other"), repository="acme")).status == 422

    wrong = await root.send(PAGE, ACTION, repository="acme", mebibytes="many", packages="")
    assert wrong.status == 422
    await root.send(PAGE, ACTION, repository="acme", mebibytes="", packages="")
    with hub.hub.store.view() as view:
        assert view.get(Quota, "acme") is None
        told = [row for row in view.scan(AuditRecord) if row.action.startswith("quota.")]
    assert [(row.action, row.user) for row in told] == [
        ("quota.set", "root"),
        ("quota.remove", "root"),
    ]
    refused = await member.post(ACTION, {"repository": "acme", "mebibytes": "1"})
    assert refused.status in (403, 404)
