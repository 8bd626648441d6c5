"""Finding, reading and trusting what others published, as a person at a browser does."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.end_to_end.browser.conftest import Window, decoded, sign_in
from tests.end_to_end.browser.content import Filled
from tests.end_to_end.packages import tarball


def test_a_package_is_found_while_typing_and_opened_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("lant")
    expect(page.locator("#hits [role=option]").first).to_contain_text("lantern")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/packages/lantern")
    expect(page.locator("h1")).to_have_text("lantern")


def test_documentation_is_found_while_typing(page: Page) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_be_visible()

    def found() -> bool:
        page.fill("#search", "")
        page.fill("#search", "kindle")
        page.wait_for_timeout(400)
        return "Lantern.kindle/2" in page.locator("#hits").inner_text()

    assert any(found() for _ in range(10))
    page.locator("#hits [role=option]", has_text="Lantern.kindle/2").click()
    page.wait_for_url(re.compile("/docs/lantern/1.1.0/Lantern.html"))


def test_a_publish_is_shown_live(page: Page, hub: Filled) -> None:
    page.goto("/")
    firefly = page.locator("main li", has_text="firefly").first
    expect(firefly).to_have_count(0)
    hub.node.must_publish(tarball("firefly", "0.1.0", {"a": b"a"}), hub.mara)
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(firefly).to_contain_text("0.1.0")
    expect(firefly).to_contain_text("by mara")


def test_a_package_page_leads_everywhere(page: Page) -> None:
    page.goto("/packages/lantern")
    expect(page.locator("article.prose strong")).to_have_text("Elixir")
    page.click("text=rebar.config")
    expect(page.locator(".pick pre", has_text='{lantern, "1.1.0"}')).to_be_visible()
    page.click(".tabs >> text=Dependencies")
    page.click("main >> text=decimal")
    page.click(".tabs >> text=Dependants")
    page.click("main .rows >> text=lantern")
    page.click("text=Changes since 1.0.0")
    expect(page.locator("tr.added", has_text="1.1.0").first).to_be_visible()
    page.click(".crumbs >> text=lantern")
    page.click("main >> text=Files")
    page.click("text=lib/lantern.ex")
    expect(page.locator(".code .kd").first).to_have_text("defmodule")


def test_a_line_is_copied(window: Window) -> None:
    page = window(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/packages/lantern")
    button = page.locator(".pick .copy button").first
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == '{:lantern, "~> 1.1"}'


def test_a_hostile_readme_does_nothing(page: Page) -> None:
    page.goto("/packages/evil")
    expect(page.locator("article.prose")).to_contain_text("click me")
    page.click("article >> text=click me")
    assert page.evaluate("window.hacked") is None
    assert page.locator("article iframe, article form, article style, article svg").count() == 0
    assert (
        page.evaluate("getComputedStyle(document.querySelector('article p')).position") == "static"
    )


def test_documentation_works_as_its_tool_made_it(page: Page) -> None:
    page.goto("/docs/lantern/")
    expect(page.locator("#out")).to_contain_text("imported")
    first = {
        "before": None,
        "theme": "night",
        "kept": "opened,theme",
        "versions": ["v1.1.0", "v1.0.0"],
        "items": 2,
        "part": "imported",
        "colour": "rgb(1, 2, 3)",
    }
    assert decoded(page.inner_text("#out")) == first
    page.click("text=Lantern >> nth=-1")
    page.wait_for_url("**/docs/lantern/Lantern.html")
    page.select_option("select", label="v1.0.0")
    page.wait_for_url("**/docs/lantern/1.0.0/Lantern.html")
    expect(page.locator("#out")).to_contain_text("imported")
    assert decoded(page.inner_text("#out")) == first | {"before": "night"}
    page.goto("/docs/evil/")
    assert "night" not in page.evaluate("window.name + JSON.stringify(localStorage)")


def test_documentation_starts_in_the_theme_of_the_hub(page: Page) -> None:
    page.goto("/")
    page.click(".theme >> text=Dark")
    page.goto("/docs/lantern/Lantern.html")
    assert '"theme":"dark"' in page.evaluate("localStorage['ex_doc:settings']")


def test_private_documentation_works_with_all_its_assets(mara_page: Page, window: Window) -> None:
    mara_page.goto("/repos/acme/docs/ledger/")
    expect(mara_page.locator("#out")).to_contain_text("imported")
    assert "night" in mara_page.inner_text("#out")
    mara_page.click("a")
    expect(mara_page.locator("h1")).to_have_text("Ledger v1.1.0")
    mara_page.wait_for_url("**/Ledger.html")
    mara_page.select_option("select", label="v1.0.0")
    mara_page.wait_for_url("**/ledger/1.0.0/**/Ledger.html")
    expect(mara_page.locator("h1")).to_have_text("Ledger v1.0.0")
    stranger = window()
    stranger.goto("/repos/acme/docs/ledger/")
    expect(stranger.locator("h1")).to_have_text("Sign in")
    sign_in(stranger, "eve")
    stranger.goto("/repos/acme/docs/ledger/")
    expect(stranger.locator("h1")).to_have_text("No such documentation")


def test_hostile_documentation_reaches_neither_session_nor_pages(mara_page: Page) -> None:
    mara_page.goto("/docs/evil/")
    expect(mara_page.locator("#out")).not_to_be_empty()
    assert decoded(mara_page.inner_text("#out")) == {
        "cookie": "refused",
        "origin": "null",
        "dashboard": "refused",
        "keys": "refused",
        "frame": "closed",
        "opened": "refused",
    }
    mara_page.evaluate("document.querySelector('#f').submit()")
    mara_page.wait_for_timeout(300)
    assert "/docs/evil/" in mara_page.url
    mara_page.goto("/dashboard")
    expect(mara_page.locator("details.menu summary")).to_have_text("mara")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_system_until_one_is_chosen(window: Window, theme: str) -> None:
    page = window(color_scheme=theme)
    page.goto("/")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background) == "rgb(19, 17, 24)"
    assert dark == (theme == "dark")
    page.click(f"text={'Light' if dark else 'Dark'}")
    assert (page.evaluate(background) == "rgb(19, 17, 24)") != dark
    page.reload()
    assert (page.evaluate(background) == "rgb(19, 17, 24)") != dark


def test_everything_works_without_script(window: Window) -> None:
    page = window(java_script_enabled=False)
    page.goto("/")
    page.fill("#search", "lantern")
    page.press("#search", "Enter")
    page.click("main a.name >> nth=0")
    expect(page.locator("h1")).to_have_text("lantern")
    page.click(".pick label >> text=erlang.mk")
    expect(page.locator(".pick pre", has_text="dep_lantern")).to_be_visible()
    page.click(".tabs >> text=Versions")
    page.click("text=Show changes")
    expect(page.locator("h1")).to_contain_text("1.0.0 → 1.1.0")
    page.click(".theme >> text=Dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    sign_in(page, "tomas")
    expect(page.locator("details.menu summary")).to_have_text("tomas")
