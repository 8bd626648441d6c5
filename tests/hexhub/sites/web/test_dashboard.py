"""The account pages: profile, password, addresses, sessions, keys, the end of an account."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from hexhub.domain import users
from hexhub.domain.audit import OPERATOR
from hexhub.http.metrics import Metrics
from hexhub.schema import FormerUser, Key, Link, Mail, Member, Owner, Session, Token, User
from hexhub.sites import web
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.grants import bearer, exchange, let_in
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package

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


def mails(hub: TestHub, template: str) -> list[Mail]:
    with hub.hub.store.view() as view:
        return [mail for mail in view.scan(Mail) if mail.template == template]


PAGES = [
    "/dashboard",
    "/dashboard/password",
    "/dashboard/emails",
    "/dashboard/sessions",
    "/dashboard/keys",
    "/dashboard/audit",
    "/dashboard/security",
    "/dashboard/delete",
    "/oauth/device",
]


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_asks_strangers_to_sign_in(hub: TestHub, page: str) -> None:
    answer = await Browser(hub).get(page)
    assert (answer.status, answer.location) == (303, f"/login?return={page}")


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_has_a_form_with_its_proof(browser: Browser, page: str) -> None:
    answer = await browser.get(page)
    assert answer.status == 200
    forms = [form for form in answer.forms() if form.method == "post" and form.action != "/theme"]
    assert forms
    for form in forms:
        assert len(form.fields["csrf"]) == 64


UNGUARDED = {
    "/theme": "changes how this browser looks, and nothing else",
    "/first-run": "the token of its link is its proof",
    "/password/new": "the key of its link is its proof",
}


async def test_every_form_is_refused_without_its_proof(hub: TestHub, browser: Browser) -> None:
    checked = 0
    for route in web.routes(Metrics()):
        if route.method == "GET" or route.pattern in UNGUARDED:
            continue
        address = re.sub(r"\{\w+\}", "x", route.pattern)
        assert (await browser.post(address, {})).status == 403, address
        assert (await browser.post(address, {"csrf": "0" * 64})).status == 403, address
        checked += 1
    assert checked >= 20


# Profile


async def test_the_profile_is_what_the_api_shows(browser: Browser, mara: Person) -> None:
    page = await browser.send(
        "/dashboard",
        "/dashboard/profile",
        full_name="Mara O",
        handle__GitHub="mara",
    )
    assert page.status == 303
    me = (await mara.get("/api/users/me")).value
    assert me["full_name"] == "Mara O"
    assert me["handles"] == {"GitHub": "https://github.com/mara"}


@pytest.mark.parametrize(
    "fields",
    [
        {"full_name": "Mara\r\nBcc: all@example.org"},
        {"full_name": "x" * 129},
        {"handle__GitHub": "../../evil"},
        {"handle__GitHub": "a b"},
        {"handle__GitHub": "<script>"},
    ],
)
async def test_a_profile_that_would_inject_is_refused(
    browser: Browser, mara: Person, fields: dict[str, str]
) -> None:
    page = await browser.send("/dashboard", "/dashboard/profile", **fields)
    assert page.status == 422
    me = (await mara.get("/api/users/me")).value
    assert "full_name" not in me
    assert me["handles"] == {}


async def test_a_name_is_text_and_never_markup(browser: Browser, mara: Person) -> None:
    await browser.send("/dashboard", "/dashboard/profile", full_name="<b>Mara</b>")
    page = await browser.get("/dashboard")
    assert "&lt;b&gt;Mara&lt;/b&gt;" in page.text
    assert "<b>Mara" not in page.text


async def test_optional_mails_can_be_switched_off(hub: TestHub, browser: Browser) -> None:
    page = await browser.get("/dashboard")
    await browser.submit(page, "/dashboard/mails", "mail:owner_added")
    with hub.hub.store.view() as view:
        assert users.find(view, "mara").muted == ("owner_added",)


# Password


async def test_a_new_password_ends_every_other_session(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    other, tokens = Browser(hub), await let_in(hub, "mara")
    await other.sign_in("mara", PASSWORD)
    page = await browser.send(
        "/dashboard/password",
        "/dashboard/password",
        current=PASSWORD,
        password="another password",
    )
    assert page.status == 303
    assert (await browser.get("/dashboard")).status == 200
    assert (await other.get("/dashboard")).status == 303
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await mara.get("/api/users/me")).status == 200
    assert (await Browser(hub).sign_in("mara", PASSWORD)).status == 401
    assert (await Browser(hub).sign_in("mara", "another password")).status == 303
    assert len(mails(hub, "password_changed")) == 1


@pytest.mark.parametrize(
    ("current", "password"), [("wrong", "another password"), (PASSWORD, "short"), ("", "")]
)
async def test_a_password_changes_only_against_the_one_that_holds(
    hub: TestHub, browser: Browser, current: str, password: str
) -> None:
    page = await browser.send(
        "/dashboard/password", "/dashboard/password", current=current, password=password
    )
    assert page.status == 422
    assert (await Browser(hub).sign_in("mara", PASSWORD)).status == 303


# Addresses


async def test_without_mail_a_new_address_counts_at_once(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await browser.send("/dashboard/emails", "/dashboard/emails", email="Mara@Work.example")
    page = await browser.get("/dashboard/emails")
    token = page.form("/dashboard/emails").fields["csrf"]
    for action in ("primary", "public"):
        fields = {"csrf": token, "email": "mara@work.example"}
        assert (await browser.post(f"/dashboard/emails/{action}", fields)).status == 303
    assert (await mara.get("/api/users/me")).value["email"] == "mara@work.example"
    fields = {"csrf": token, "email": "mara@example.org"}
    assert (await browser.post("/dashboard/emails/remove", fields)).status == 303
    with hub.hub.store.view() as view:
        (left,) = users.find(view, "mara").emails
    assert (left.address, left.primary, left.public) == ("mara@work.example", True, True)
    assert (await browser.post("/dashboard/emails/hide", {"csrf": token})).status == 303
    assert "email" not in (await mara.get("/api/users/me")).value


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mara",
        "mara@example.org",
        "nils@example.org",
        "a@b.c\r\nBcc: d@e.f",
        "x" * 250 + "@b.cd",
    ],
)
async def test_an_address_is_refused(hub: TestHub, browser: Browser, address: str) -> None:
    await hub.user("nils")
    page = await browser.send("/dashboard/emails", "/dashboard/emails", email=address)
    assert page.status == 422


async def test_the_primary_address_stays_until_there_is_another(browser: Browser) -> None:
    token = (await browser.get("/dashboard/emails")).form("/dashboard/emails").fields["csrf"]
    fields = {"csrf": token, "email": "mara@example.org"}
    assert (await browser.post("/dashboard/emails/remove", fields)).status == 422
    fields = {"csrf": token, "email": "other@example.org"}
    assert (await browser.post("/dashboard/emails/primary", fields)).status == 404


@pytest.fixture
async def mailing(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub that can send mail, to nobody who listens."""
    async with hubs.running(tmp_path, smtp_url="smtp://127.0.0.1:9", registration="open") as hub:
        await hub.user("mara", password=PASSWORD)
        yield hub


def _link(hub: TestHub, template: str) -> str:
    mail = mails(hub, template)[-1]
    return mail.values["link"].removeprefix(hub.hub.url)


async def test_with_mail_a_new_address_has_to_be_verified(mailing: TestHub) -> None:
    browser = Browser(mailing)
    await browser.sign_in("mara", PASSWORD)
    await browser.send("/dashboard/emails", "/dashboard/emails", email="mara@work.example")
    token = (await browser.get("/dashboard/emails")).form("/dashboard/emails").fields["csrf"]
    fields = {"csrf": token, "email": "mara@work.example"}
    assert (await browser.post("/dashboard/emails/primary", fields)).status == 422
    assert mails(mailing, "email_verification")[-1].to == "mara@work.example"
    link = _link(mailing, "email_verification")
    stranger = Browser(mailing)
    opened = await stranger.get(link)  # which a mail scanner does too
    with mailing.hub.store.view() as view:
        assert not users.find(view, "mara").emails[1].verified
    assert (await stranger.submit(opened, "/email/verify")).status == 200
    assert (await browser.post("/dashboard/emails/primary", fields)).status == 303
    assert (await stranger.get(link)).status == 404


async def test_a_link_that_was_sent_again_voids_the_first_and_ends_after_a_day(
    mailing: TestHub,
) -> None:
    browser = Browser(mailing)
    await browser.sign_in("mara", PASSWORD)
    await browser.send("/dashboard/emails", "/dashboard/emails", email="mara@work.example")
    first = _link(mailing, "email_verification")
    token = (await browser.get("/dashboard/emails")).form("/dashboard/emails").fields["csrf"]
    fields = {"csrf": token, "email": "mara@work.example"}
    assert (await browser.post("/dashboard/emails/resend", fields)).status == 303
    second = _link(mailing, "email_verification")
    assert (await browser.get(first)).status == 404
    assert (await browser.get(second)).status == 200
    mailing.clock.ahead = timedelta(hours=24, seconds=1)
    assert (await browser.get(second)).status == 404


async def test_somebody_who_registers_verifies_the_address_first(mailing: TestHub) -> None:
    created = await mailing.nobody.post(
        "/api/users",
        {"username": "nils", "email": "nils@example.org", "password": PASSWORD},
    )
    assert created.status == 201
    nils = mailing.basic("nils", PASSWORD)
    assert (await nils.get("/api/users/me")).value["message"] == "email not verified"
    browser = Browser(mailing)
    opened = await browser.get(_link(mailing, "email_verification"))
    await browser.submit(opened, "/email/verify")
    assert (await nils.get("/api/users/me")).status == 200


async def test_mails_to_one_person_are_few(mailing: TestHub) -> None:
    browser = Browser(mailing)
    await browser.sign_in("mara", PASSWORD)
    await browser.send("/dashboard/emails", "/dashboard/emails", email="mara@work.example")
    token = (await browser.get("/dashboard/emails")).form("/dashboard/emails").fields["csrf"]
    fields = {"csrf": token, "email": "mara@work.example"}
    statuses = [(await browser.post("/dashboard/emails/resend", fields)).status for _ in range(12)]
    assert statuses[-1] == 429
    assert len(mails(mailing, "email_verification")) == 10


# A forgotten password


async def test_a_forgotten_password_is_set_by_a_link(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    stranger = Browser(hub)
    page = await stranger.send("/password/reset", "/password/reset", username="mara@example.org")
    assert page.status == 200
    link = _link(hub, "password_reset")
    opened = await stranger.get(link)
    assert (await stranger.submit(opened, "/password/new", password="short")).status == 422
    done = await stranger.submit(opened, "/password/new", password="another password")
    assert done.status == 200
    assert (await browser.get("/dashboard")).status == 303, "whoever was signed in is out"
    assert (await stranger.get(link)).status == 404
    assert (await stranger.sign_in("mara", "another password")).status == 303


async def test_nobody_learns_whether_an_account_exists(hub: TestHub, mara: Person) -> None:
    answers = []
    for name in ("mara", "nobody", "a\0b", "", "x" * 5000, "no@where.example"):
        page = await Browser(hub).send("/password/reset", "/password/reset", username=name)
        answers.append((page.status, re.sub(r"[\w-]{20,}", "", page.text)))
    assert set(answers) == {answers[0]}
    assert len(mails(hub, "password_reset")) == 1


async def test_the_api_resets_without_telling_more(hub: TestHub, mara: Person) -> None:
    for name in ("mara", "nobody", "mara%40example.org"):
        answer = await hub.nobody.post(f"/api/users/{name}/reset")
        assert (answer.status, answer.body) == (204, b"")
    assert len(mails(hub, "password_reset")) == 2


async def test_resets_of_one_address_are_limited(hub: TestHub, mara: Person) -> None:
    statuses = [(await hub.nobody.post("/api/users/mara/reset")).status for _ in range(11)]
    assert statuses == [204] * 10 + [429]


# Sessions


async def test_sessions_are_listed_and_ended_one_by_one(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    other, tokens = Browser(hub), await let_in(hub, "mara")
    await other.sign_in("mara", PASSWORD)
    page = await browser.get("/dashboard/sessions")
    assert "Hex CLI on laptop" in page.text
    actions = [form.action for form in page.forms() if form.action.endswith("/revoke")]
    assert len(actions) == 4
    with hub.hub.store.view() as view:
        (client,) = [row for row in view.scan(Session) if row.kind == "oauth"]
    await browser.submit(page, f"/dashboard/sessions/{client.id}/revoke")
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await other.get("/dashboard")).status == 200
    await browser.submit(page, "/dashboard/sessions/revoke")
    assert (await other.get("/dashboard")).status == 303
    assert (await browser.get("/dashboard")).status == 200


async def test_nobody_ends_the_session_of_another(hub: TestHub, browser: Browser) -> None:
    await hub.user("nils", password=PASSWORD)
    other = Browser(hub)
    await other.sign_in("nils", PASSWORD)
    with hub.hub.store.view() as view:
        (theirs,) = [row for row in view.scan(Session) if row.owner == "user:nils"]
    token = (await browser.get("/dashboard")).form("/logout").fields["csrf"]
    answer = await browser.post(f"/dashboard/sessions/{theirs.id}/revoke", {"csrf": token})
    assert answer.status == 404
    assert (await other.get("/dashboard")).status == 200


async def test_browsers_and_clients_share_five_sessions(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    for _ in range(5):
        hub.clock.ahead += timedelta(seconds=1)
        await let_in(hub, "mara")
    assert (await browser.get("/dashboard")).status == 303


# Keys


async def test_a_key_is_made_shown_once_and_revoked(hub: TestHub, browser: Browser) -> None:
    page = await browser.send(
        "/dashboard/keys", "/dashboard/keys", name="ci", api="write", repositories="on", days="30"
    )
    (secret,) = set(re.findall(r"\b[0-9a-f]{32}\b", page.text))
    ci = Person(hub, "mara", secret)
    shown = (await ci.get("/api/keys/ci")).value
    assert shown["permissions"] == [
        {"domain": "api", "resource": "write"},
        {"domain": "repositories", "resource": None},
    ]
    assert shown["revoke_at"] is not None
    listed = await browser.get("/dashboard/keys")
    assert secret not in listed.text
    token = listed.form("/dashboard/keys").fields["csrf"]
    await browser.post("/dashboard/keys/revoke", {"csrf": token, "name": "ci"})
    assert (await ci.get("/api/keys")).value["message"] == "API key revoked"
    await browser.post("/dashboard/keys/revoke-all", {"csrf": token})
    assert "You have no keys" in (await browser.get("/dashboard/keys")).text


async def test_a_key_needs_a_name_permissions_and_access(hub: TestHub, browser: Browser) -> None:
    await hub.organization("other", await hub.user("nils"))
    for fields in (
        {"name": "", "api": "read"},
        {"name": "ci"},
        {"name": "ci", "repository__other": "on"},
    ):
        page = await browser.send("/dashboard/keys", "/dashboard/keys", **fields)
        assert page.status == 422, fields


async def test_tokens_of_keys_are_listed_and_ended_one_by_one(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    assert "Tokens of your keys" not in (await browser.get("/dashboard/keys")).text
    ci = await hub.key("mara", "api")
    first, second = [bearer(hub, "mara", await exchange(hub, ci)) for _ in range(2)]

    page = await browser.get("/dashboard/keys")
    actions = [form.action for form in page.forms() if "/tokens/" in form.action]
    with hub.hub.store.view() as view:
        made = sorted(view.find(Token, "owner", "user:mara"), key=lambda row: row.created_at)
    assert actions == [f"/dashboard/keys/tokens/{row.jti}/revoke" for row in reversed(made)]
    assert page.text.count(f"{made[0].expires_at:%H:%M} UTC") >= 1
    await browser.submit(page, actions[1])

    assert (await first.get("/api/users/me")).status == 401
    assert (await second.get("/api/users/me")).status == 200
    assert (await ci.get("/api/users/me")).status == 200
    assert actions[1] not in (await browser.get("/dashboard/keys")).text
    newest = (await mara.get("/api/users/me/audit-logs")).value[0]
    assert (newest["action"], newest["params"]["key"]) == ("token.revoke", "test-2")
    assert (await browser.submit(page, actions[1])).status == 404, "only once"

    hub.clock.ahead += timedelta(minutes=31)
    assert "Tokens of your keys" not in (await browser.get("/dashboard/keys")).text


async def test_nobody_ends_the_token_of_another_or_of_a_session(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    nils = await hub.user("nils")
    theirs = bearer(hub, "nils", await exchange(hub, nils))
    mine = bearer(hub, "mara", await let_in(hub, "mara"))
    page = await browser.get("/dashboard/keys")
    proof = page.form("/logout").fields["csrf"]
    assert "Tokens of your keys" not in page.text
    with hub.hub.store.view() as view:
        tokens = [row.jti for row in view.scan(Token)]

    assert len(tokens) == 2
    for token in (*tokens, "nothing"):
        answer = await browser.post(f"/dashboard/keys/tokens/{token}/revoke", {"csrf": proof})
        assert answer.status == 404
    assert (await theirs.get("/api/users/me")).status == 200
    assert (await mine.get("/api/users/me")).status == 200


# The end


async def test_a_deleted_account_leaves_nothing_that_works(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    await hub.organization("forest", await hub.user("nils"), mara="write")
    tokens = await let_in(hub, "mara")
    page = await browser.send(
        "/dashboard/delete", "/dashboard/delete", username="mara", password=PASSWORD
    )
    assert (page.status, page.location) == (303, "/")
    assert (await mara.get("/api/users/me")).status == 401
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await hub.nobody.get("/api/users/mara")).status == 404
    assert (await Browser(hub).sign_in("mara", PASSWORD)).status == 401
    with hub.hub.store.view() as view:
        assert view.get(User, "mara") is None
        assert view.get(FormerUser, "mara") is not None
        assert not list(view.find(Session, "owner", "user:mara"))
        assert not list(view.find(Key, "owner", "user:mara"))
        assert not list(view.find(Member, "user", "mara"))
        assert not list(view.find(Owner, "user", "mara"))
        assert not list(view.find(Link, "user", "mara"))
        assert all(token.revoked_at for token in view.find(Token, "owner", "user:mara"))
    assert len(mails(hub, "account_deleted")) == 1


async def test_the_name_of_a_deleted_account_stays_taken(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, registration="open") as hub:
        await hub.user("mara", password=PASSWORD)
        browser = Browser(hub)
        await browser.sign_in("mara", PASSWORD)
        await browser.send(
            "/dashboard/delete", "/dashboard/delete", username="mara", password=PASSWORD
        )
        answer = await hub.nobody.post(
            "/api/users", {"username": "Mara", "email": "new@example.org", "password": PASSWORD}
        )
        assert answer.errors == {"username": "has already been taken"}


@pytest.mark.parametrize(
    "fields", [{"username": "mara", "password": "wrong"}, {"username": "m", "password": PASSWORD}]
)
async def test_an_account_is_deleted_only_with_name_and_password(
    hub: TestHub, browser: Browser, mara: Person, fields: dict[str, str]
) -> None:
    page = await browser.send("/dashboard/delete", "/dashboard/delete", **fields)
    assert page.status == 422
    assert (await mara.get("/api/users/me")).status == 200


async def test_who_alone_looks_after_something_cannot_go(
    hub: TestHub, browser: Browser, mara: Person
) -> None:
    assert (await mara.publish(package("acorn", "1.0.0"))).status == 201
    page = await browser.send(
        "/dashboard/delete", "/dashboard/delete", username="mara", password=PASSWORD
    )
    assert page.status == 422
    assert "last full owner of the package acorn" in page.text
    await hub.hub.store.transact(users.set_admin, OPERATOR, "mara", True, hub.hub.now())
    page = await browser.send(
        "/dashboard/delete", "/dashboard/delete", username="mara", password=PASSWORD
    )
    assert "last administrator" in page.text
