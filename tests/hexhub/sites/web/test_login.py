"""Signing in and out: limits, forms of others, and where it leads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from hexhub.domain import users
from hexhub.domain.audit import OPERATOR
from hexhub.schema import Session
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.grants import code, second_factor
from tests.hexhub.hubs import Person, TestHub

PASSWORD = "a good password"


@pytest.fixture
def browser(hub: TestHub) -> Browser:
    return Browser(hub)


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    """A user with a password."""
    return await hub.user("mara", password=PASSWORD)


async def test_a_password_opens_the_account(browser: Browser, mara: Person) -> None:
    page = await browser.sign_in("mara", PASSWORD)
    assert (page.status, page.location) == (303, "/dashboard")
    assert "mara" in (await browser.get("/dashboard")).text


async def test_a_verified_address_does_as_well_as_the_name(browser: Browser, mara: Person) -> None:
    assert (await browser.sign_in("Mara@Example.org", PASSWORD)).status == 303


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(
    browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    (cookie,) = browser.set_cookies
    assert cookie.startswith("hexhub=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie


async def test_behind_tls_the_cookie_is_bound_to_it(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, hexhub_url="https://hub.example") as hub:
        await hub.user("mara", password=PASSWORD)
        browser = Browser(hub)
        await browser.sign_in("mara", PASSWORD)
        (cookie,) = browser.set_cookies
        assert cookie.startswith("__Host-hexhub=")
        assert "Secure" in cookie


async def test_the_tables_hold_no_cookie(hub: TestHub, browser: Browser, mara: Person) -> None:
    await browser.sign_in("mara", PASSWORD)
    with hub.hub.store.view() as view:
        (session,) = view.scan(Session)
    assert browser.cookies["hexhub"] not in (session.id, session.verifier)
    stolen = Browser(hub)
    stolen.cookies["hexhub"] = session.id + session.verifier
    assert (await stolen.get("/dashboard")).status == 303


async def test_signing_in_gives_a_new_cookie_and_ends_the_one_brought(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    planted = dict(browser.cookies)
    page = await browser.get("/login?return=/dashboard/keys")
    assert page.location == "/dashboard/keys"
    victim = Browser(hub)
    victim.cookies = dict(planted)
    token = (await victim.get("/dashboard")).form("/logout").fields["csrf"]
    fields = {"csrf": token, "username": "mara", "password": PASSWORD}
    await victim.post("/login", fields)
    assert victim.cookies["hexhub"] != planted["hexhub"]
    assert (await browser.get("/dashboard")).status == 303


@pytest.mark.parametrize("name", ["mara", "nobody", "a\0b", "x" * 3000, "é@é"])
async def test_a_wrong_password_says_the_same_for_every_name(
    browser: Browser, mara: Person, name: str
) -> None:
    page = await browser.sign_in(name, "wrong")
    assert page.status == 401
    assert "Wrong name or password" in page.text


async def test_a_disabled_account_is_told_no_more_than_a_stranger(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await hub.hub.store.transact(users.disable, OPERATOR, "mara", hub.hub.now())
    page = await browser.sign_in("mara", PASSWORD)
    assert page.status == 401
    assert "Wrong name or password" in page.text


async def test_disabling_ends_the_session_at_once(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    await hub.hub.store.transact(users.disable, OPERATOR, "mara", hub.hub.now())
    await hub.hub.store.transact(users.enable, OPERATOR, "mara", hub.hub.now())
    assert (await browser.get("/dashboard")).location.startswith("/login")


async def test_ten_failures_are_all_for_a_quarter_of_an_hour(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    for _ in range(10):
        assert (await browser.sign_in("mara", "wrong")).status == 401
    assert (await browser.sign_in("mara", PASSWORD)).status == 429
    assert (await hub.basic("mara", PASSWORD).get("/api/users/me")).status == 429
    hub.clock.ahead = timedelta(minutes=15, seconds=1)
    assert (await browser.sign_in("mara", PASSWORD)).status == 303


async def test_signing_in_in_between_does_not_give_new_guesses(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await hub.user("nils", password="another password")
    for _ in range(9):
        await browser.sign_in("mara", "wrong")
    await Browser(hub).sign_in("nils", "another password")
    assert (await browser.sign_in("mara", "wrong")).status == 401
    assert (await browser.sign_in("mara", "wrong")).status == 429


async def test_passwords_by_basic_count_as_guesses_too(hub: TestHub, mara: Person) -> None:
    for _ in range(10):
        assert (await hub.basic("mara", "wrong").get("/api/users/me")).status == 401
    assert (await hub.basic("mara", PASSWORD).get("/api/users/me")).status == 429


# Where it leads


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/ok\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "",
        "dashboard",
        "/é",
        "/" + "x" * 3000,
    ],
)
async def test_signing_in_leads_nowhere_else(
    browser: Browser, mara: Person, elsewhere: str
) -> None:
    page = await browser.open("/login")
    fields = page.form("/login").fields | {
        "username": "mara",
        "password": PASSWORD,
        "return": elsewhere,
    }
    done = await browser.post("/login", fields)
    assert (done.status, done.location) == (303, "/dashboard")
    assert "a" not in browser.cookies


async def test_a_page_that_needs_a_person_leads_back_to_itself(
    browser: Browser, mara: Person
) -> None:
    page = await browser.get("/oauth/device?user_code=BCDF2345&x=%26")
    assert page.location == "/login?return=/oauth/device%3Fuser_code%3DBCDF2345%26x%3D%2526"
    signed = await browser.submit(
        await browser.get(page.location), "/login", username="mara", password=PASSWORD
    )
    assert signed.location == "/oauth/device?user_code=BCDF2345&x=%26"


# Forms of others


async def test_a_form_without_its_proof_is_refused(browser: Browser, mara: Person) -> None:
    page = await browser.open("/login")
    for proof in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}):
        answer = await browser.post("/login", {"username": "mara", "password": PASSWORD} | proof)
        assert answer.status == 403
    assert page.form("/login").fields["csrf"]


async def test_the_proof_of_one_browser_is_none_in_another(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    own = (await browser.open("/login")).form("/login").fields["csrf"]
    other = Browser(hub)
    await other.open("/login")
    answer = await other.post("/login", {"csrf": own, "username": "mara", "password": PASSWORD})
    assert answer.status == 403


async def test_a_browser_without_any_cookie_can_send_no_form(hub: TestHub, mara: Person) -> None:
    answer = await Browser(hub).post(
        "/login", {"csrf": "", "username": "mara", "password": PASSWORD}
    )
    assert answer.status == 403


async def test_the_proof_of_a_stranger_is_void_once_signed_in(
    browser: Browser, mara: Person
) -> None:
    before = (await browser.open("/login")).form("/login").fields["csrf"]
    await browser.sign_in("mara", PASSWORD)
    assert (await browser.post("/logout", {"csrf": before})).status == 403


# Signing out


async def test_signing_out_ends_the_session_on_the_server(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    kept = dict(browser.cookies)
    page = await browser.send("/dashboard", "/logout")
    assert page.location == "/"
    assert "hexhub" not in browser.cookies
    browser.cookies = kept
    assert (await browser.get("/dashboard")).status == 303


async def test_a_session_ends_after_thirty_days(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    hub.clock.ahead = timedelta(days=30, seconds=1)
    assert (await browser.get("/dashboard")).status == 303


# The second factor


async def test_with_a_second_factor_the_password_is_half_the_way(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    secret = await second_factor(hub, "mara")
    half = await browser.sign_in("mara", PASSWORD)
    assert half.status == 200
    assert (await browser.get("/dashboard")).status == 303
    wrong = await browser.submit(half, "/login/code", code="000000")
    assert wrong.status == 401
    done = await browser.submit(half, "/login/code", code=code(hub, secret))
    assert (done.status, done.location) == (303, "/dashboard")
    again = await Browser(hub).post("/login/code", half.form("/login/code").fields)
    assert again.status == 403


async def test_the_half_way_ticket_works_once_and_for_ten_minutes(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    secret = await second_factor(hub, "mara")
    used = await browser.sign_in("mara", PASSWORD)
    await browser.submit(used, "/login/code", code=code(hub, secret))
    other = Browser(hub)
    late = await other.sign_in("mara", PASSWORD)
    fields = late.form("/login/code").fields | {
        "ticket": used.form("/login/code").fields["ticket"],
        "code": code(hub, secret),
    }
    assert (await other.post("/login/code", fields)).status == 404
    hub.clock.ahead = timedelta(minutes=10, seconds=1)
    assert (await other.submit(late, "/login/code", code=code(hub, secret))).status == 404


async def test_codes_cannot_be_guessed(hub: TestHub, browser: Browser, mara: Person) -> None:
    secret = await second_factor(hub, "mara")
    half = await browser.sign_in("mara", PASSWORD)
    for _ in range(5):
        assert (await browser.submit(half, "/login/code", code="000000")).status == 401
    assert (await browser.submit(half, "/login/code", code=code(hub, secret))).status == 429


# Confirming


async def test_what_matters_asks_for_the_password_again_after_an_hour(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.sign_in("mara", PASSWORD)
    assert (await browser.get("/oauth/device")).status == 200
    hub.clock.ahead = timedelta(hours=1, seconds=1)
    page = await browser.get("/oauth/device")
    assert page.location == "/login/confirm?return=/oauth/device"
    asked = await browser.get(page.location)
    assert (await browser.submit(asked, "/login/confirm", password="wrong")).status == 401
    done = await browser.submit(asked, "/login/confirm", password=PASSWORD)
    assert done.location == "/oauth/device"
    assert (await browser.get("/oauth/device")).status == 200


# What an attacker could measure


async def test_a_name_that_nobody_has_costs_as_much_as_a_wrong_password(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.user("nils")  # who has no password
    checked: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, stored: str, password: str) -> bool:
        checked.append(stored.split("$")[3])
        return verify(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for name in ("mara", "nils", "nobody", "nobody@example.org"):
        await Browser(hub).sign_in(name, "wrong")
        await hub.basic(name, "wrong").get("/api/users/me")
    assert len(checked) == 8
    assert len(set(checked)) == 1, "each check has the same cost parameters"
