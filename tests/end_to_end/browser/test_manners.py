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
    "/dashboard/audit",
    "/oauth/device",
    "/orgs",
    "/orgs/acme",
    "/orgs/acme?show=members",
    "/orgs/acme?show=keys",
    "/orgs/acme?show=policies",
    "/orgs/acme?show=audit",
    "/packages/lantern?show=audit",
    "/packages/lantern?show=manage",
    "/admin",
    "/admin/users",
    "/admin/organizations",
    "/admin/keys",
    "/admin/repositories",
    "/admin/packages",
    "/admin/packages/hexpm/lantern",
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
EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF_LOOK = {"type": "rule", "values": ["color-contrast", "target-size"]}
"""What can be otherwise where the same page is narrow and dark."""
LOOKS = frozenset(
    {
        "/",
        "/packages/lantern",
        "/packages/lantern/1.0.0/files/lib/lantern.ex",
        "/diff/lantern/1.0.0..1.1.0",
        "/search?q=kindle",
        "/setup",
        "/nothing/here",
        "/docs/lantern/9.9.9/",
        "/dashboard/keys",
        "/admin",
        "/admin/users",
        "/admin/rules",
    }
)
"""Pages that have between them every part there is."""


def _barriers(page: Page, path: str, rules: object) -> list[str]:
    # Without `resultTypes` most of the time goes into telling of every element that is well.
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found: Any = Axe().run(page, options=options).response["violations"]
    return [
        f"{path}: {each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]
    ]


def _too_wide(page: Page, path: str) -> list[str]:
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"{path}: {wide} pixels too wide"] if wide > 0 else []


def _faults(page: Page, paths: tuple[str, ...], rules: object, drawn: frozenset[str]) -> list[str]:
    faults = []
    for path in paths:
        page.goto(path, wait_until="domcontentloaded")
        faults += _too_wide(page, path)
        if path in drawn:
            faults += _barriers(page, path, rules)
    return faults


@pytest.mark.parametrize(
    ("width", "theme", "rules", "drawn"),
    [
        (1280, "light", EVERY_RULE, frozenset(OPEN + SIGNED_IN)),
        (360, "dark", RULES_OF_LOOK, LOOKS),
    ],
    ids=["wide and light", "narrow and dark"],
)
def test_no_page_has_a_barrier(
    window: Window, width: int, theme: str, rules: object, drawn: frozenset[str]
) -> None:
    page = window(viewport={"width": width, "height": 800}, color_scheme=theme)
    faults = _faults(page, OPEN, rules, drawn)
    sign_in(page, "mara")
    faults += _faults(page, SIGNED_IN, rules, drawn)
    assert not faults, "\n".join(faults)
