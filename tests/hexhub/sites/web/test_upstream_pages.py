"""Packages of the upstream on pages of ours."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.hexhub.browser import Browser
from tests.hexhub.mirrors import Pair

PASSWORD = "a good password"


@pytest.fixture
async def pine(pair: Pair) -> Pair:
    """An upstream with a package, and a hub that mirrors it."""
    for version in ("1.0.0", "1.1.0"):
        await pair.publish("pine", version)
    return pair


async def test_an_upstream_package_has_a_page_with_it_there_or_not(pine: Pair) -> None:
    browser = Browser(pine.hub)
    page = await browser.get("/packages/pine")
    assert page.status == 200
    assert "from the upstream" in page.text
    assert "1.1.0" in page.text
    assert "/packages/pine/1.0.0" in (await browser.get("/packages/pine?show=versions")).text
    pine.between.fault = "reset"
    pine.hub.clock.ahead = timedelta(days=9)
    assert "1.1.0" in (await browser.get("/packages/pine")).text


async def test_a_passer_by_sees_what_is_kept_and_makes_nothing_be_fetched(pine: Pair) -> None:
    passer_by, reader = Browser(pine.hub), Browser(pine.hub)
    await pine.hub.user("reader", password=PASSWORD)
    await reader.sign_in("reader", PASSWORD)
    files = "/packages/pine/1.0.0/files"
    assert (await passer_by.get(files)).status == 404
    page = await reader.get(files)
    assert page.status == 200, page.text[-1800:]
    assert "README.md" in (await passer_by.get(files)).text
    await reader.get("/packages/pine/1.1.0/files")
    assert (await passer_by.get("/diff/pine/1.0.0..1.1.0")).status == 200


async def test_a_name_that_nobody_has_is_no_page(pine: Pair) -> None:
    browser = Browser(pine.hub)
    for path in ("/packages/nothing", "/packages/pine/9.9.9", "/packages/pine?show=audit"):
        assert (await browser.get(path)).status == 404, path
