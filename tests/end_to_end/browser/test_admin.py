"""The administration in a real browser: a setting changed, numbers that move, work in the background."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.end_to_end.browser.conftest import Window, sign_in


def test_a_setting_that_is_changed_holds_for_everybody_at_once(
    mara_page: Page, window: Window
) -> None:
    mara_page.goto("/admin/upstream")
    mara_page.check("input[name=paused]")
    mara_page.fill("input[name=wait]", "70000")
    mara_page.click("text=Set on all nodes")
    expect(mara_page.locator(".wrong")).to_have_text("must be 0 to 60,000")
    mara_page.fill("input[name=wait]", "1500")
    mara_page.check("input[name=paused]")
    mara_page.click("text=Set on all nodes")
    expect(mara_page.locator(".banner.warn >> nth=0")).to_contain_text("Paused")
    expect(mara_page.locator("input[name=wait]")).to_have_value("1500")
    mara_page.goto("/admin/notice")
    mara_page.fill("input[name=text]", "Down on Sunday")
    mara_page.click("text=Say it")
    stranger = window()
    stranger.goto("/")
    expect(stranger.locator(".notice")).to_contain_text("Down on Sunday")
    mara_page.click("text=Say nothing more")
    mara_page.goto("/admin/audit")
    for action in ("mirror.settings", "notice.set", "notice.clear"):
        expect(mara_page.locator(f"td code:text-is('{action}') >> nth=0")).to_be_visible()


def test_the_numbers_of_the_overview_move(mara_page: Page) -> None:
    mara_page.goto("/admin")
    moving = ("requests", "rate", "stored", "disk", "hex_hub1:lag", "upstream", "hex_hub1:state")
    mara_page.evaluate(
        "for (const each of document.querySelectorAll('[data-number]')) each.textContent = 'old'"
    )
    for name in moving:
        expect(mara_page.locator(f"[data-number='{name}']")).not_to_have_text("old")
    expect(mara_page.locator("[data-number='hex_hub1:state']")).to_have_class("badge good")


def test_work_in_the_background_shows_its_end_by_itself(mara_page: Page) -> None:
    mara_page.goto("/admin/backups")
    mara_page.click("text=Make one now")
    expect(mara_page.locator("[role=status]")).to_contain_text("Verify it")
    mara_page.goto("/admin/backups")
    mara_page.click("main button:text-is('Verify') >> nth=0")
    expect(mara_page.locator("[role=status]")).to_contain_text("Whole:")


def test_work_in_the_background_needs_no_script(window: Window) -> None:
    page = window(java_script_enabled=False)
    sign_in(page, "mara")
    page.goto("/admin/storage")
    page.click("text=Test the storage")
    expect(page.locator("[role=status]")).to_contain_text("It works")
    page.click("text=Count what is there")
    while page.locator("text=Look again").count():
        page.click("text=Look again")
    expect(page.locator("[role=status]")).to_have_text(re.compile(r"\d+ objects, "))
