"""Every page: no barrier that axe finds, nothing wider than a telephone, no fault of its script."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.end_to_end.browser.conftest import Window, sign_in

OPEN = (
    "/",
    "/packages",
    "/packages?search=lantern",
    "/packages?search=nothinglikeit",
    "/packages/lantern",
    "/packages/lantern/1.0.0",
    "/packages/lantern?show=versions",
    "/packages/lantern?show=dependencies",
    "/packages/decimal?show=dependants",
    "/packages/evil",
    "/packages/lantern/1.0.0/files",
    "/packages/lantern/1.0.0/files/lib/lantern.ex",
    "/diff/lantern/1.0.0..1.1.0",
    "/search?q=kindle",
    "/search",
    "/users/mara",
    "/setup",
    "/help",
    "/help/start",
    "/help/publishing",
    "/help/private",
    "/help/mirror",
    "/help/docs",
    "/help/api",
    "/login",
    "/nothing/here",
    "/docs/lantern/9.9.9/",
)
SIGNED_IN = (
    "/packages/acme/ledger",
    "/setup?repository=acme",
    "/dashboard",
    "/dashboard/emails",
    "/dashboard/password",
    "/dashboard/security",
    "/dashboard/sessions",
    "/dashboard/keys",
    "/oauth/device",
)
EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF_LOOK = {
    "type": "rule",
    "values": ["color-contrast", "target-size", "scrollable-region-focusable"],
}
"""What can be otherwise where the same page is narrow and dark."""


def _check(page: Page, path: str, rules: object) -> list[str]:
    page.goto(path)
    found: Any = Axe().run(page, options={"runOnly": rules}).response["violations"]
    faults = [
        f"{path}: {each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]
    ]
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return faults + ([f"{path}: {wide} pixels too wide"] if wide > 0 else [])


@pytest.mark.parametrize(
    ("width", "theme", "rules"),
    [(1280, "light", EVERY_RULE), (360, "dark", RULES_OF_LOOK)],
    ids=["wide and light", "narrow and dark"],
)
def test_no_page_has_a_barrier(window: Window, width: int, theme: str, rules: object) -> None:
    page = window(viewport={"width": width, "height": 800}, color_scheme=theme)
    faults = [fault for path in OPEN for fault in _check(page, path, rules)]
    sign_in(page, "mara")
    faults += [fault for path in SIGNED_IN for fault in _check(page, path, rules)]
    assert not faults, "\n".join(faults)
