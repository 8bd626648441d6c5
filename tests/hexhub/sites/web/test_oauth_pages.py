"""Letting clients in by a browser: device codes, web applications, and what would abuse them."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from hexhub.domain import clients
from hexhub.schema import OauthClient, Session
from tests.hexhub.browser import Browser, Page
from tests.hexhub.grants import bearer, device, poll, second_factor
from tests.hexhub.hubs import Person, TestHub

PASSWORD = "a good password"
APP = "00000000-0000-4000-8000-000000000001"
BACK = "https://app.example/back"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


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


async def _consent(browser: Browser, asked: dict[str, str]) -> Page:
    """The page that asks, reached as `mix hex.user auth` opens it."""
    address = urlsplit(asked["verification_uri_complete"])
    page = await browser.open(f"{address.path}?{address.query}")
    found = await browser.submit(page, "/oauth/device")
    assert found.status == 303, found.text
    return await browser.get(found.location)


async def test_a_client_is_let_in_as_a_person_does_it(hub: TestHub, browser: Browser) -> None:
    await second_factor(hub, "mara")
    asked = await device(hub)
    page = await _consent(browser, asked)
    assert "Hex CLI" in page.text
    assert "laptop" in page.text
    done = await browser.submit(page, "/oauth/device/authorize", decision="approve")
    assert "It is let in" in done.text
    tokens = (await poll(hub, asked["device_code"])).value
    assert tokens["scope"] == "api:read api:write repository:hexpm"
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 200


async def test_the_code_may_be_typed_with_a_dash_in_small_letters(
    hub: TestHub, browser: Browser
) -> None:
    asked = await device(hub)
    code = asked["user_code"].lower()
    page = await browser.send(
        "/oauth/device", "/oauth/device", user_code=f" {code[:4]}-{code[4:]} "
    )
    assert page.status == 303


async def test_writing_needs_a_second_factor_on_the_account(hub: TestHub, browser: Browser) -> None:
    asked = await device(hub)
    page = await _consent(browser, asked)
    form = page.form("/oauth/device/authorize")
    assert form.disabled == {"scope:api:write"}
    forced = await browser.submit(
        page, "/oauth/device/authorize", decision="approve", scope__api__write="on"
    )
    assert forced.status == 422
    assert (await poll(hub, asked["device_code"])).value["error"] == "authorization_pending"
    await browser.submit(page, "/oauth/device/authorize", decision="approve")
    tokens = (await poll(hub, asked["device_code"])).value
    assert tokens["scope"] == "api:read repository:hexpm"


async def test_at_least_one_scope_must_be_chosen(hub: TestHub, browser: Browser) -> None:
    asked = await device(hub, "api:read")
    page = await _consent(browser, asked)
    none = await browser.submit(
        page, "/oauth/device/authorize", "scope:api:read", decision="approve"
    )
    assert none.status == 422
    assert (await poll(hub, asked["device_code"])).value["error"] == "authorization_pending"


async def test_scopes_that_were_not_asked_for_are_not_given(hub: TestHub, browser: Browser) -> None:
    await second_factor(hub, "mara")
    asked = await device(hub, "api:read")
    page = await _consent(browser, asked)
    await browser.submit(
        page,
        "/oauth/device/authorize",
        decision="approve",
        scope__api__write="on",
        scope__repositories="on",
    )
    assert (await poll(hub, asked["device_code"])).value["scope"] == "api:read"


@pytest.mark.parametrize("decision", ["deny", "", "APPROVE"])
async def test_anything_but_a_yes_is_a_no(hub: TestHub, browser: Browser, decision: str) -> None:
    asked = await device(hub)
    page = await _consent(browser, asked)
    done = await browser.submit(page, "/oauth/device/authorize", decision=decision)
    assert "It is kept out" in done.text
    assert (await poll(hub, asked["device_code"])).status == 403


async def test_looking_at_a_code_lets_nobody_in(hub: TestHub, browser: Browser) -> None:
    asked = await device(hub)
    await browser.get(f"/oauth/device/authorize?user_code={asked['user_code']}")
    assert (await poll(hub, asked["device_code"])).value["error"] == "authorization_pending"
    answer = await browser.post(
        "/oauth/device/authorize", {"user_code": asked["user_code"], "decision": "approve"}
    )
    assert answer.status == 403


async def test_ten_wrong_codes_are_all_for_a_quarter_of_an_hour(
    hub: TestHub, browser: Browser
) -> None:
    asked = await device(hub)
    page = await browser.get("/oauth/device")
    for _ in range(10):
        answer = await browser.submit(page, "/oauth/device", user_code="BCDF2345")
        assert answer.status == 422
    answer = await browser.submit(page, "/oauth/device", user_code=asked["user_code"])
    assert answer.status == 429
    direct = await browser.get(f"/oauth/device/authorize?user_code={asked['user_code']}")
    assert direct.status == 429
    hub.clock.ahead = timedelta(minutes=15, seconds=1)
    answer = await browser.submit(page, "/oauth/device", user_code="BCDF2345")
    assert answer.status == 422


async def test_a_used_or_late_code_is_unknown(hub: TestHub, browser: Browser) -> None:
    asked, late = await device(hub), await device(hub)
    page = await _consent(browser, asked)
    await browser.submit(page, "/oauth/device/authorize", decision="approve")
    again = await browser.submit(page, "/oauth/device/authorize", decision="approve")
    assert again.status == 404
    hub.clock.ahead = timedelta(seconds=601)
    answer = await browser.send("/oauth/device", "/oauth/device", user_code=late["user_code"])
    assert answer.status == 422


async def test_what_a_client_calls_itself_is_text(hub: TestHub, browser: Browser) -> None:
    answer = await hub.nobody.post(
        "/api/oauth/device_authorization",
        {"client_id": next(iter(clients.SEEDED)), "scope": "api", "name": "<script>x</script>"},
    )
    page = await _consent(browser, answer.value)
    assert "<script>x" not in page.text
    assert "&lt;script&gt;x" in page.text


# Web applications


@pytest.fixture
async def application(hub: TestHub) -> None:
    """A public web application that may ask for two scopes."""
    await hub.hub.store.transact(
        clients.put,
        OauthClient(
            client_id=APP,
            name="Build server",
            grants=(clients.CODE, clients.REFRESH),
            redirect_uris=(BACK, "https://*.apps.example/back"),
            scopes=("api:read", "api:write"),
        ),
    )


def _address(**fields: str) -> str:
    wanted = {
        "client_id": APP,
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "api:read",
        "state": "a state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | fields
    return f"/oauth/authorize?{urlencode({k: v for k, v in wanted.items() if v})}"


@pytest.mark.usefixtures("application")
async def test_an_application_gets_a_code_and_for_it_tokens(hub: TestHub, browser: Browser) -> None:
    page = await browser.get(_address())
    assert "Build server" in page.text
    policy = page.answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example;" in policy
    done = await browser.submit(page, "/oauth/authorize", decision="approve")
    assert done.location.startswith(f"{BACK}?")
    query = parse_qs(urlsplit(done.location).query)
    assert query["state"] == ["a state"]
    answer = await hub.nobody.post(
        "/api/oauth/token",
        {
            "grant_type": "authorization_code",
            "client_id": APP,
            "code": query["code"][0],
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        },
    )
    assert answer.status == 200
    assert (await bearer(hub, "mara", answer.value).get("/api/users/me")).status == 200
    with hub.hub.store.view() as view:
        assert {row.kind for row in view.scan(Session)} == {"browser", "oauth"}


@pytest.mark.usefixtures("application")
async def test_a_refusal_goes_back_too(browser: Browser) -> None:
    page = await browser.get(_address())
    done = await browser.submit(page, "/oauth/authorize", decision="deny")
    assert parse_qs(urlsplit(done.location).query) == {
        "error": ["access_denied"],
        "state": ["a state"],
    }


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize(
    "redirect_uri",
    [
        "",
        "https://evil.example/back",
        "https://app.example/back/",
        "https://app.example/back?x=1",
        "https://app.example.evil.example/back",
        "http://app.example/back",
        "https://a.b.apps.example/back",
        "https://.apps.example/back",
        "https://x@evil.example#.apps.example/back",
        "https://evil.example/.apps.example/back",
        "https://*.apps.example/back",
        "http://one.apps.example/back",
        "https://one.apps.example:8443/back",
        "https://one.apps.example/other",
        "https://one.apps.example/back\r\nX: y",
        "javascript:alert(1)",
        "//app.example/back",
    ],
)
async def test_nothing_is_ever_sent_to_an_address_that_is_not_the_applications(
    browser: Browser, redirect_uri: str
) -> None:
    page = await browser.get(_address(redirect_uri=redirect_uri))
    assert page.status == 400
    assert "Location" not in page.answer.headers


@pytest.mark.usefixtures("application")
async def test_a_star_stands_for_one_label_of_the_host(browser: Browser) -> None:
    page = await browser.get(_address(redirect_uri="https://one.apps.example/back"))
    assert page.status == 200


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("client_id", ["", "nonsense", "78ea6566-89fd-481e-a1d6-7d9d78eacca9"])
async def test_an_unknown_application_gets_an_error_page(browser: Browser, client_id: str) -> None:
    page = await browser.get(_address(client_id=client_id))
    assert page.status == 400
    assert "Location" not in page.answer.headers


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize(
    "fields",
    [
        {"state": ""},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"scope": ""},
        {"scope": "repositories"},
    ],
)
async def test_other_faults_go_back_to_the_application(
    browser: Browser, fields: dict[str, str]
) -> None:
    page = await browser.get(_address(**fields))
    assert page.status == 303
    assert page.location.startswith(f"{BACK}?error=invalid_request")


@pytest.mark.usefixtures("application")
async def test_a_form_cannot_be_bent_to_another_address_or_scope(
    hub: TestHub, browser: Browser
) -> None:
    page = await browser.get(_address())
    bent = await browser.submit(
        page, "/oauth/authorize", decision="approve", redirect_uri="https://evil.example/"
    )
    assert bent.status == 400
    wider = await browser.submit(
        page,
        "/oauth/authorize",
        decision="approve",
        scope="api:read api:write",
        scope__api__write="on",
    )
    assert "access_denied" in wider.location, "writing needs a second factor"
    other = Browser(hub)
    assert (
        await other.post("/oauth/authorize", page.form("/oauth/authorize").fields)
    ).status == 403
