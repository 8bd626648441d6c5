"""Setting up two-factor authentication, recovery codes, switching it off."""

from __future__ import annotations

import re

import pyotp
import pytest

from hexhub.formats import one_time_password
from hexhub.schema import Mail, TwoFactor
from tests.hexhub.browser import Browser, Page
from tests.hexhub.grants import code, second_factor
from tests.hexhub.hubs import Person, TestHub

PASSWORD = "a good password"


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    """A user with a password."""
    return await hub.user("mara", password=PASSWORD)


@pytest.fixture
async def browser(hub: TestHub, mara: Person) -> Browser:
    """Mara's browser, signed in."""
    browser = Browser(hub)
    await browser.sign_in("mara", PASSWORD)
    return browser


def _secret(page: Page) -> str:
    (found,) = set(re.findall(r"<code>((?:[A-Z2-7]{4} ?){8})</code>", page.text))
    return str(found).replace(" ", "")


def _recovery(page: Page) -> list[str]:
    return re.findall(r"\b[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}\b", page.text)


async def _set_up(hub: TestHub, browser: Browser) -> tuple[str, list[str]]:
    begun = await browser.send("/dashboard/security", "/dashboard/security/begin")
    page = await browser.get(begun.location)
    secret = _secret(page)
    done = await browser.submit(page, "/dashboard/security/confirm", code=code(hub, secret))
    assert done.status == 200
    return secret, _recovery(done)


async def test_it_is_set_up_by_scanning_and_typing_a_code(hub: TestHub, browser: Browser) -> None:
    begun = await browser.send("/dashboard/security", "/dashboard/security/begin")
    page = await browser.get(begun.location)
    assert "<svg" in page.text
    secret = _secret(page)
    wrong = await browser.submit(page, "/dashboard/security/confirm", code="000000")
    assert wrong.status == 422
    assert _secret(wrong) == secret
    assert (await Browser(hub).sign_in("mara", PASSWORD)).status == 303, "not on yet"
    done = await browser.submit(page, "/dashboard/security/confirm", code=code(hub, secret))
    assert len(set(_recovery(done))) == 10
    assert "It is <strong>on</strong>" in (await browser.get("/dashboard/security")).text
    half = await Browser(hub).sign_in("mara", PASSWORD)
    assert half.status == 200


async def test_the_secret_is_sealed_in_the_tables_and_shown_no_more(
    hub: TestHub, browser: Browser
) -> None:
    secret, codes = await _set_up(hub, browser)
    with hub.hub.store.view() as view:
        (row,) = view.scan(TwoFactor)
        told = [mail.template for mail in view.scan(Mail)]
    assert secret.encode() not in row.secret
    assert not set(codes) & set(row.recovery_hashes)
    assert told[-1] == "two_factor_enabled"
    assert (await browser.get("/dashboard/security/setup")).location == "/dashboard/security"


async def test_a_recovery_code_signs_in_once(hub: TestHub, browser: Browser) -> None:
    _, codes = await _set_up(hub, browser)
    for typed, status in ((codes[0].upper().replace("-", " "), 303), (codes[0], 401)):
        other = Browser(hub)
        half = await other.sign_in("mara", PASSWORD)
        assert (await other.submit(half, "/login/code", code=typed)).status == status
    assert "9 recovery codes left" in (await browser.get("/dashboard/security")).text


async def test_new_recovery_codes_void_the_former(hub: TestHub, browser: Browser) -> None:
    _, codes = await _set_up(hub, browser)
    fresh = _recovery(await browser.send("/dashboard/security", "/dashboard/security/recovery"))
    assert not set(fresh) & set(codes)
    for typed, status in ((codes[1], 401), (fresh[1], 303)):
        other = Browser(hub)
        half = await other.sign_in("mara", PASSWORD)
        assert (await other.submit(half, "/login/code", code=typed)).status == status


async def test_it_is_switched_off_against_a_code(hub: TestHub, browser: Browser) -> None:
    secret = await second_factor(hub, "mara")
    wrong = await browser.send("/dashboard/security", "/dashboard/security/off", code="000000")
    assert wrong.status == 422
    done = await browser.send(
        "/dashboard/security", "/dashboard/security/off", code=code(hub, secret)
    )
    assert done.status == 303
    assert (await Browser(hub).sign_in("mara", PASSWORD)).status == 303


async def test_a_factor_that_is_on_is_not_set_up_anew(hub: TestHub, browser: Browser) -> None:
    """Whoever borrows the browser must not be able to swap the secret."""
    page = await browser.get("/dashboard/security")
    await second_factor(hub, "mara")
    assert (await browser.submit(page, "/dashboard/security/begin")).status == 422
    token = page.form("/dashboard/security/begin").fields["csrf"]
    await browser.post("/dashboard/security/confirm", {"csrf": token, "code": "000000"})
    assert (await browser.get("/dashboard/security")).text.count("It is <strong>on</strong>") == 1


def test_the_address_in_the_code_is_one_that_authenticators_know() -> None:

    secret = pyotp.random_base32()
    address = one_time_password.address(secret, "mara", "HexHub localhost")
    parsed = pyotp.parse_uri(address)
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (secret, "mara", "HexHub localhost")
