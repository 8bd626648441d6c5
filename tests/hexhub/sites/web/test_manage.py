"""What an owner does with a package in the browser, and nobody else."""

from __future__ import annotations

import pytest

from hexhub.schema import Owner, Release
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

PASSWORD = "a good password"
PAGE = "/packages/pine?show=manage"
BASE = "/manage/hexpm/pine"


@pytest.fixture
async def owner(hub: TestHub) -> Browser:
    mara = await hub.user("mara", password=PASSWORD)
    await hub.user("tomas", password=PASSWORD)
    for version in ("1.0.0", "1.1.0"):
        await mara.publish(package("pine", version))
    browser = Browser(hub)
    await browser.sign_in("mara", PASSWORD)
    return browser


def release(hub: TestHub) -> Release:
    with hub.hub.store.view() as view:
        found = view.get(Release, "hexpm", "pine", "1.0.0")
    assert found is not None
    return found


async def test_a_release_is_retired_and_taken_back(hub: TestHub, owner: Browser) -> None:
    form = {"version": "1.0.0", "reason": "security", "message": "Update to 1.1.0"}
    assert (await owner.send(PAGE, f"{BASE}/retire", **form)).status == 303
    assert release(hub).retirement is not None
    assert "Update to 1.1.0" in (await owner.get("/packages/pine/1.0.0")).text
    await owner.send(PAGE, f"{BASE}/unretire")
    assert release(hub).retirement is None


async def test_what_is_wrong_is_said_on_the_page(owner: Browser) -> None:
    form = {"version": "1.0.0", "reason": "none", "message": "x"}
    answer = await owner.send(PAGE, f"{BASE}/retire", **form)
    assert answer.status == 422
    assert 'role="alert"' in answer.text
    last = await owner.send(PAGE, f"{BASE}/disown")
    assert last.status == 422


async def test_owners_come_and_go(hub: TestHub, owner: Browser) -> None:
    def names() -> set[str]:
        with hub.hub.store.view() as view:
            return {row.username for row in view.scan(Owner, "hexpm", "pine")}

    await owner.send(PAGE, f"{BASE}/owner", who="tomas", level="maintainer")
    assert names() == {"mara", "tomas"}
    await owner.send(PAGE, f"{BASE}/disown", who="tomas")
    assert names() == {"mara"}


async def test_others_neither_see_nor_do_it(hub: TestHub, owner: Browser) -> None:
    tomas = Browser(hub)
    await tomas.sign_in("tomas", PASSWORD)
    assert (await tomas.get(PAGE)).status == 404
    token = (await tomas.get("/dashboard/keys")).form("/dashboard/keys").fields["csrf"]
    fields = {"csrf": token, "version": "1.0.0", "reason": "other", "who": "tomas"}
    for act in ("retire", "unretire", "owner", "disown"):
        assert (await tomas.post(f"{BASE}/{act}", fields)).status in (403, 404), act
        assert (await owner.post(f"{BASE}/{act}", {"who": "tomas"})).status == 403, act
    assert release(hub).retirement is None
