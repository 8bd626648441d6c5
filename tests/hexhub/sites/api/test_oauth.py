"""OAuth: every table of http-api.md §3.13, and tokens that must not count."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from hexhub.domain import authorization_codes, clients, device_codes, sessions, users
from hexhub.domain.audit import OPERATOR
from hexhub.formats.access_token import Claims, TokenKey
from hexhub.schema import DeviceCode, Member, OauthClient, Session, Token
from tests.hexhub.grants import (
    DEVICE,
    GLEAM,
    MIX,
    approve,
    bearer,
    device,
    let_in,
    poll,
    refresh,
)
from tests.hexhub.hubs import Answer, Person, TestHub

CONFIDENTIAL = "00000000-0000-4000-8000-000000000001"
APP = "https://app.example/back"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


def refused(answer: Answer, status: int, code: str, description: str) -> None:
    assert answer.status == status
    assert answer.value == {"error": code, "error_description": description}


# Device authorization


async def test_a_client_gets_codes_and_addresses(hub: TestHub) -> None:
    asked = await device(hub)
    assert re.fullmatch(r"[A-Za-z0-9_\-]{32}", asked["device_code"])
    assert re.fullmatch(r"[2-9BCDFGHJKLMNPQRSTVWXYZ]{8}", asked["user_code"])
    assert asked["verification_uri"] == f"{hub.hub.url}/oauth/device"
    assert asked["verification_uri_complete"].endswith(
        f"/oauth/device?user_code={asked['user_code']}"
    )
    assert (asked["expires_in"], asked["interval"]) == (600, 5)


async def test_a_form_and_an_erlang_term_do_as_well_as_json(hub: TestHub) -> None:
    fields = {"client_id": MIX, "scope": "api repositories"}
    form = await hub.nobody.request(
        "POST",
        "/api/oauth/device_authorization",
        data=urlencode(fields).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    term = await hub.nobody.post("/api/oauth/device_authorization", erlang=fields)
    assert (form.status, term.status) == (200, 200)
    assert term.headers["Content-Type"].startswith("application/vnd.hex+erlang")
    assert set(term.value) == set(form.value)


@pytest.mark.parametrize(
    ("fields", "status", "code", "description"),
    [
        ({}, 401, "invalid_client", "Missing client_id"),
        ({"client_id": 7}, 401, "invalid_client", "Missing client_id"),
        ({"client_id": "not a uuid"}, 401, "invalid_client", "Invalid client"),
        ({"client_id": CONFIDENTIAL}, 401, "invalid_client", "Invalid client"),
        ({"client_id": GLEAM, "scope": "repositories"}, 400, "invalid_scope", "Invalid scope"),
        ({"client_id": MIX, "scope": "api:admin"}, 400, "invalid_scope", "Invalid scope"),
        ({"client_id": MIX, "scope": ["api"]}, 400, "invalid_scope", "Invalid scope"),
    ],
)
async def test_a_device_authorization_is_refused(
    hub: TestHub, fields: Any, status: int, code: str, description: str
) -> None:
    refused(
        await hub.nobody.post("/api/oauth/device_authorization", fields), status, code, description
    )


async def test_a_client_without_the_grant_may_not_begin(hub: TestHub) -> None:
    await hub.hub.store.transact(
        clients.put, OauthClient(client_id=CONFIDENTIAL, name="web", grants=(clients.CODE,))
    )
    refused(
        await hub.nobody.post("/api/oauth/device_authorization", {"client_id": CONFIDENTIAL}),
        400,
        "unauthorized_client",
        "Client not authorized for this grant type",
    )


async def test_the_name_of_a_device_becomes_one_printable_line(hub: TestHub) -> None:
    await hub.nobody.post(
        "/api/oauth/device_authorization",
        {"client_id": MIX, "scope": "api", "name": "lap\r\nBcc: all\x1b[2J\u202etop" + "x" * 500},
    )
    with hub.hub.store.view() as view:
        (row,) = view.scan(DeviceCode)
    assert row.name.startswith("lapBcc: all[2Jtop")
    assert len(row.name) <= 128


# Polling


async def test_polls_answer_what_clients_wait_for(hub: TestHub, mara: Person) -> None:
    asked = await device(hub)
    refused(
        await poll(hub, asked["device_code"]), 400, "authorization_pending", "Authorization pending"
    )
    await approve(hub, "mara", asked["user_code"])
    answer = await poll(hub, asked["device_code"])
    assert answer.status == 200
    assert answer.value["token_type"] == "bearer"
    assert answer.value["expires_in"] == 1800
    assert answer.value["scope"] == "api:read api:write repository:hexpm"
    assert answer.value["refresh_token"]


async def test_a_denied_device_is_told_so_with_403(hub: TestHub, mara: Person) -> None:
    asked = await device(hub)
    await hub.hub.store.transact(device_codes.deny, asked["user_code"], "mara", hub.hub.now())
    refused(
        await poll(hub, asked["device_code"]), 403, "access_denied", "Authorization denied by user"
    )


async def test_a_code_expires_even_when_it_was_approved(hub: TestHub, mara: Person) -> None:
    waiting, approved = await device(hub), await device(hub)
    await approve(hub, "mara", approved["user_code"])
    hub.clock.ahead = timedelta(seconds=601)
    for asked in (waiting, approved):
        refused(
            await poll(hub, asked["device_code"]),
            400,
            "expired_token",
            "Device code has expired",
        )


@pytest.mark.parametrize("code", ["x" * 32, None, 5, ["x"], "", "a\0b"])
async def test_an_unknown_or_missing_code_is_an_invalid_grant(hub: TestHub, code: object) -> None:
    refused(await poll(hub, code), 400, "invalid_grant", "Invalid device code")


async def test_a_code_belongs_to_its_client(hub: TestHub, mara: Person) -> None:
    asked = await device(hub)
    refused(await poll(hub, asked["device_code"], GLEAM), 401, "invalid_client", "Invalid client")


async def test_a_second_poll_gives_fresh_tokens_and_ends_the_first(
    hub: TestHub, mara: Person
) -> None:
    asked = await device(hub)
    await approve(hub, "mara", asked["user_code"])
    first = (await poll(hub, asked["device_code"])).value
    second = (await poll(hub, asked["device_code"])).value
    assert (await bearer(hub, "mara", first).get("/api/users/me")).status == 401
    assert (await bearer(hub, "mara", second).get("/api/users/me")).status == 200


# Access tokens


async def test_an_access_token_is_accepted_where_its_scopes_reach(
    hub: TestHub, mara: Person
) -> None:
    await hub.organization("forest", mara)
    await hub.organization("other", await hub.user("nils"))
    tokens = await let_in(hub, "mara")
    me = bearer(hub, "mara", tokens)
    assert tokens["scope"] == "api:read api:write repository:hexpm repository:forest"
    assert (await me.get("/api/users/me")).value["username"] == "mara"
    assert (await me.get("/repos/forest/names")).status == 200
    assert (await me.get("/repo/repos/forest/names")).status == 200
    assert (await me.get("/repos/other/names")).status == 404
    assert (await me.get("/api/auth?domain=repository&resource=forest")).status == 204
    assert (await me.get("/api/auth?domain=api&resource=write")).status == 204
    assert (await me.get("/api/auth?domain=docs&resource=forest")).status == 401


async def test_a_read_scope_does_not_write_and_no_scope_does_not_fetch(
    hub: TestHub, mara: Person
) -> None:
    await hub.organization("forest", mara)
    me = bearer(hub, "mara", await let_in(hub, "mara", "api:read"))
    answer = await me.post("/api/keys", {"name": "laptop"})
    assert (answer.status, answer.value["message"]) == (401, "key not authorized for this action")
    assert (await me.get("/repos/forest/names")).status == 404
    only = bearer(hub, "mara", await let_in(hub, "mara", "repositories"))
    assert (await only.get("/api/users/me")).status == 401
    assert (await only.get("/repos/forest/names")).status == 200


async def test_a_token_loses_a_repository_with_the_membership(hub: TestHub, mara: Person) -> None:
    await hub.user("nils")
    await hub.organization("forest", mara, nils="read")
    nils = bearer(hub, "nils", await let_in(hub, "nils"))
    assert (await nils.get("/repos/forest/names")).status == 200
    await hub.hub.store.transact(
        lambda tx: tx.delete(Member(organization="forest", username="nils", role="read"))
    )
    assert (await nils.get("/repos/forest/names")).status == 404


async def test_an_access_token_ends_after_half_an_hour(hub: TestHub, mara: Person) -> None:
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    hub.clock.ahead = timedelta(seconds=1790)
    assert (await me.get("/api/users/me")).status == 200
    hub.clock.ahead = timedelta(seconds=1801)
    answer = await me.get("/api/users/me")
    assert (answer.status, answer.value["message"]) == (401, "invalid API key")
    assert "token_expired" not in answer.headers["WWW-Authenticate"]


def _unsigned(token: str) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{token.split('.')[1]}."


async def test_forged_and_foreign_tokens_do_not_count(hub: TestHub, mara: Person) -> None:
    tokens = await let_in(hub, "mara")
    now = hub.hub.now()
    with hub.hub.store.view() as view:
        (row,) = view.scan(Token)
    good = Claims("user:mara", row.jti, ("api:read",), now + timedelta(hours=1))
    head, body, signature = tokens["access_token"].split(".")
    forged = [
        TokenKey(b"another root secret").sign(good, now),
        hub.hub.token_key.sign(Claims("user:nils", row.jti, (), good.expires_at), now),
        hub.hub.token_key.sign(Claims("user:mara", "unknown", (), good.expires_at), now),
        hub.hub.token_key.sign(good, now + timedelta(minutes=5)),
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        _unsigned(tokens["access_token"]),
        tokens["refresh_token"],
        "..",
        "a.b.c",
        tokens["access_token"] + "x" * 5000,
    ]
    for token in forged:
        answer = await Person(hub, "mara", f"Bearer {token}").get("/api/users/me")
        assert answer.status == 401, token
        assert answer.value["message"] == "invalid API key"
    # Signed by this hub for this user and row: what the claims say of scopes gives nothing.
    wide = hub.hub.token_key.sign(
        Claims("user:mara", row.jti, ("repository:other",), good.expires_at), now
    )
    await hub.organization("other", await hub.user("nils"))
    assert (await Person(hub, "mara", f"Bearer {wide}").get("/repos/other/names")).status == 404


async def test_bearer_is_case_sensitive_and_takes_a_key_too(hub: TestHub, mara: Person) -> None:
    tokens = await let_in(hub, "mara")
    small = Person(hub, "mara", f"bearer {tokens['access_token']}")
    assert (await small.get("/api/users/me")).status == 401
    assert (
        await Person(hub, "mara", f"Bearer {mara.authorization}").get("/api/users/me")
    ).status == 200


# Refresh


async def test_a_refresh_gives_a_new_pair_and_ends_the_old(hub: TestHub, mara: Person) -> None:
    old = await let_in(hub, "mara")
    new = await refresh(hub, old["refresh_token"])
    assert new.status == 200
    assert new.value["refresh_token"] != old["refresh_token"]
    assert (await bearer(hub, "mara", old).get("/api/users/me")).status == 401
    assert (await bearer(hub, "mara", new.value).get("/api/users/me")).status == 200
    refused(
        await refresh(hub, old["refresh_token"]),
        400,
        "invalid_grant",
        "Refresh token has been revoked",
    )


async def test_a_refresh_sees_new_memberships(hub: TestHub, mara: Person) -> None:
    old = await let_in(hub, "mara")
    await hub.organization("forest", mara)
    new = await refresh(hub, old["refresh_token"])
    assert new.value["scope"] == "api:read api:write repository:hexpm repository:forest"


async def test_refreshing_does_not_extend_the_thirty_days(hub: TestHub, mara: Person) -> None:
    tokens = await let_in(hub, "mara")
    hub.clock.ahead = timedelta(days=29)
    tokens = (await refresh(hub, tokens["refresh_token"])).value
    hub.clock.ahead = timedelta(days=30, seconds=1)
    refused(
        await refresh(hub, tokens["refresh_token"]),
        400,
        "invalid_grant",
        "Refresh token has expired",
    )


async def test_other_refresh_tokens_are_refused_with_400(hub: TestHub, mara: Person) -> None:
    tokens = await let_in(hub, "mara")
    refused(await refresh(hub, None), 400, "invalid_grant", "Missing refresh token")
    refused(await refresh(hub, {"a": 1}), 400, "invalid_grant", "Missing refresh token")
    for wrong in ("x", tokens["access_token"], tokens["refresh_token"][:-5]):
        refused(await refresh(hub, wrong), 400, "invalid_grant", "Invalid refresh token")
    refused(
        await refresh(hub, tokens["refresh_token"], GLEAM),
        400,
        "invalid_grant",
        "Invalid refresh token",
    )
    refused(
        await refresh(hub, tokens["refresh_token"], "nope"), 401, "invalid_client", "Invalid client"
    )


# Client credentials


async def _exchange(hub: TestHub, secret: object, scope: object) -> Answer:
    return await hub.nobody.post(
        "/api/oauth/token",
        {
            "grant_type": "client_credentials",
            "client_id": MIX,
            "client_secret": secret,
            "scope": scope,
            "name": "ci",
        },
    )


@pytest.mark.parametrize(
    ("permissions", "asked", "given"),
    [
        (("api",), "api", "api"),
        (("api",), "api:read api:write", "api:read api:write"),
        (("api:write",), "api:write api:read", "api:write api:read"),
        (("api:write",), "api", None),
        (("api:read",), "api:read", "api:read"),
        (("api:read",), "api:write", None),
        (("repository:forest",), "repository:forest", "repository:forest"),
        (("repository:forest",), "repositories", "repository:forest"),
        (("repository:forest",), "repository:other", None),
        (("repositories",), "repositories", "repository:hexpm repository:forest"),
        (("repositories",), "repository:forest", "repository:forest"),
        (("repositories",), "repository:other", None),
        (("repositories",), "api:read", None),
        (("api",), "repositories", ""),
        (("api",), "", ""),
        (("api",), "repository:forest", None),
    ],
)
async def test_a_key_is_exchanged_for_what_it_allows(
    hub: TestHub, mara: Person, permissions: tuple[str, ...], asked: str, given: str | None
) -> None:
    await hub.organization("forest", mara)
    await hub.organization("other", await hub.user("nils"))
    key = await hub.key("mara", *permissions)
    answer = await _exchange(hub, key.authorization, asked)
    if given is None:
        refused(answer, 400, "invalid_scope", "Requested scopes exceed API key permissions")
    else:
        assert answer.status == 200
        assert answer.value["scope"] == given
        assert "refresh_token" not in answer.value


async def test_a_key_of_an_organization_opens_only_its_own_repository(
    hub: TestHub, mara: Person
) -> None:
    await hub.organization("forest", mara)
    await hub.organization("other", mara)
    key = await hub.key("forest", "repository:forest", organization=True)
    answer = await _exchange(hub, key.authorization, "repositories")
    assert answer.value["scope"] == "repository:forest"
    forest = Person(hub, "forest", f"Bearer {answer.value['access_token']}")
    assert (await forest.get("/repos/forest/names")).status == 200
    assert (await forest.get("/repos/other/names")).status == 404


async def test_an_exchange_needs_a_live_key(hub: TestHub, mara: Person) -> None:
    refused(
        await _exchange(hub, None, "api"),
        400,
        "invalid_request",
        "Missing or invalid client_secret",
    )
    refused(await _exchange(hub, "0" * 32, "api"), 401, "invalid_client", "Invalid API key")
    revoked = await hub.key("mara", "api")
    await revoked.delete("/api/keys/test-2")
    refused(
        await _exchange(hub, revoked.authorization, "api"), 401, "invalid_client", "Invalid API key"
    )


async def test_an_exchanged_token_ends_with_its_key(hub: TestHub, mara: Person) -> None:
    key = await hub.key("mara", "api")
    tokens = (await _exchange(hub, key.authorization, "api")).value
    token = bearer(hub, "mara", tokens)
    assert (await token.get("/api/users/me")).status == 200
    await mara.delete("/api/keys/test-2")
    assert (await token.get("/api/users/me")).status == 401


async def test_exchanges_end_no_session(hub: TestHub, mara: Person) -> None:
    tokens = await let_in(hub, "mara")
    for _ in range(8):
        await _exchange(hub, mara.authorization, "api")
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 200


# Authorization code


async def _code(hub: TestHub, **fields: object) -> Answer:
    return await hub.nobody.post(
        "/api/oauth/token",
        {
            "grant_type": "authorization_code",
            "client_id": CONFIDENTIAL,
            "client_secret": "application secret",
            "code": "the code",
            "redirect_uri": APP,
            "code_verifier": VERIFIER,
        }
        | fields,
    )


@pytest.fixture
async def application(hub: TestHub, mara: Person) -> None:
    """A confidential client, and a code that mara gave it."""
    client = OauthClient(
        client_id=CONFIDENTIAL,
        name="web",
        secret_hash=hub.hub.secret_hash("application secret"),
        grants=(clients.CODE, clients.REFRESH),
        redirect_uris=(APP,),
        scopes=("api:read",),
    )
    await hub.hub.store.transact(clients.put, client)
    await hub.hub.store.transact(
        authorization_codes.create,
        hub.hub.secret_hash("the code"),
        client,
        "mara",
        ("api:read",),
        APP,
        CHALLENGE,
        hub.hub.now(),
    )


@pytest.mark.usefixtures("application")
async def test_a_code_is_redeemed_once(hub: TestHub) -> None:
    answer = await _code(hub)
    assert answer.status == 200
    assert (await bearer(hub, "mara", answer.value).get("/api/users/me")).status == 200
    refused(await _code(hub), 400, "invalid_grant", "Authorization code expired or already used")


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize(
    ("fields", "status", "code", "description"),
    [
        ({"code": None}, 400, "invalid_grant", "Missing authorization code"),
        ({"code": "another"}, 400, "invalid_grant", "Invalid authorization code"),
        ({"redirect_uri": f"{APP}/"}, 400, "invalid_grant", "Redirect URI mismatch"),
        ({"redirect_uri": None}, 400, "invalid_grant", "Redirect URI mismatch"),
        (
            {"code_verifier": None},
            400,
            "invalid_grant",
            "Missing required parameter: code_verifier",
        ),
        ({"code_verifier": "w" * 43}, 400, "invalid_grant", "Invalid code verifier"),
        ({"code_verifier": "é" * 43}, 400, "invalid_grant", "Invalid code verifier"),
        ({"client_secret": "wrong"}, 401, "invalid_client", "Invalid client credentials"),
        ({"client_secret": None}, 401, "invalid_client", "Invalid client credentials"),
    ],
)
async def test_a_code_is_refused(
    hub: TestHub, fields: Any, status: int, code: str, description: str
) -> None:
    refused(await _code(hub, **fields), status, code, description)


@pytest.mark.usefixtures("application")
async def test_a_code_expires(hub: TestHub) -> None:
    hub.clock.ahead = timedelta(seconds=601)
    refused(await _code(hub), 400, "invalid_grant", "Authorization code expired or already used")


# The grant itself, and revocation


@pytest.mark.parametrize("grant", [None, "password", 5, ["refresh_token"], {"a": "b"}])
async def test_an_unknown_grant_is_unsupported(hub: TestHub, grant: object) -> None:
    answer = await hub.nobody.post("/api/oauth/token", {"grant_type": grant, "client_id": MIX})
    assert (answer.status, answer.value["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_pair(hub: TestHub, mara: Person, which: str) -> None:
    tokens = await let_in(hub, "mara")
    answer = await hub.nobody.post("/api/oauth/revoke", {"token": tokens[which], "client_id": MIX})
    assert (answer.status, answer.body) == (200, b"")
    assert "Content-Type" not in answer.headers
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await refresh(hub, tokens["refresh_token"])).value["error"] == "invalid_grant"
    with hub.hub.store.view() as view:
        assert view.count(Session) == 1


async def test_revoking_is_for_the_own_client_and_never_says_more(
    hub: TestHub, mara: Person
) -> None:
    tokens = await let_in(hub, "mara")
    for fields in (
        {"token": tokens["access_token"], "client_id": GLEAM},
        {"token": "nonsense", "client_id": MIX},
        {"token": ["a"], "client_id": MIX},
        {"token": tokens["access_token"]},
        {},
    ):
        assert (await hub.nobody.post("/api/oauth/revoke", fields)).status == 200
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 200


async def test_revoking_by_hash_ends_the_session(hub: TestHub, mara: Person) -> None:
    tokens, other = await let_in(hub, "mara"), await let_in(hub, "mara")
    digest = hashlib.sha256(tokens["refresh_token"].encode()).hexdigest()
    for token_hash in ("0" * 64, "nonsense", None, 5):
        answer = await hub.nobody.post("/api/oauth/revoke_by_hash", {"token_hash": token_hash})
        assert (answer.status, answer.body) == (200, b"")
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 200
    await hub.nobody.post("/api/oauth/revoke_by_hash", {"token_hash": digest.upper()})
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await bearer(hub, "mara", other).get("/api/users/me")).status == 200


# Sessions


async def test_a_sixth_session_ends_the_least_recently_used(hub: TestHub, mara: Person) -> None:
    all_tokens = []
    for _ in range(5):
        all_tokens.append(await let_in(hub, "mara"))
        hub.clock.ahead += timedelta(seconds=1)
    hub.clock.ahead += timedelta(minutes=6)
    assert (await bearer(hub, "mara", all_tokens[0]).get("/api/users/me")).status == 200
    await hub.hub.counters.flush()
    await let_in(hub, "mara")
    statuses = [
        (await bearer(hub, "mara", tokens).get("/api/users/me")).status for tokens in all_tokens
    ]
    assert statuses == [200, 401, 200, 200, 200]


async def test_a_disabled_user_loses_every_session_token_and_code(
    hub: TestHub, mara: Person
) -> None:
    tokens = await let_in(hub, "mara")
    approved = await device(hub)
    await approve(hub, "mara", approved["user_code"])
    exchanged = (await _exchange(hub, mara.authorization, "api")).value
    await hub.hub.store.transact(users.disable, OPERATOR, "mara", hub.hub.now())
    await hub.hub.store.transact(users.enable, OPERATOR, "mara", hub.hub.now())
    assert (await bearer(hub, "mara", tokens).get("/api/users/me")).status == 401
    assert (await bearer(hub, "mara", exchanged).get("/api/users/me")).status == 401
    assert (await refresh(hub, tokens["refresh_token"])).value["error"] == "invalid_grant"
    refused(await poll(hub, approved["device_code"]), 400, "invalid_grant", "Invalid device code")
    with hub.hub.store.view() as view:
        assert sessions.live(view, "user:mara", hub.hub.now()) == []


# Wrong types


WRONG: tuple[object, ...] = (
    None,
    True,
    5,
    -1.5,
    10**30,
    "",
    "a\0b",
    [],
    [["x"]],
    {},
    {"a": {}},
    "x" * 70_000,
    "é\u202e\x7f",
)
FIELDS = (
    "grant_type",
    "client_id",
    "client_secret",
    "device_code",
    "refresh_token",
    "code",
    "redirect_uri",
    "code_verifier",
    "scope",
    "name",
)


@pytest.mark.parametrize(
    "grant", [DEVICE, "refresh_token", "client_credentials", "authorization_code"]
)
async def test_wrong_types_in_every_field_are_an_oauth_error(hub: TestHub, grant: str) -> None:
    for field in FIELDS:
        for wrong in WRONG:
            fields = {"grant_type": grant, "client_id": MIX} | {field: wrong}
            answer = await hub.nobody.post("/api/oauth/token", fields)
            assert 400 <= answer.status < 500, (field, wrong)
            assert set(answer.value) == {"error", "error_description"}
    assert hub.faults == []


async def test_wrong_types_in_a_device_authorization_are_an_oauth_error(hub: TestHub) -> None:
    for field in ("client_id", "scope"):
        for wrong in WRONG:
            answer = await hub.nobody.post(
                "/api/oauth/device_authorization", {"client_id": MIX} | {field: wrong}
            )
            assert answer.status in (200, 400, 401), (field, wrong)
            if answer.status != 200:
                assert set(answer.value) == {"error", "error_description"}
            else:
                assert (field, wrong) in {("scope", None), ("scope", "")}
    for wrong in WRONG:
        answer = await hub.nobody.post(
            "/api/oauth/device_authorization", {"client_id": MIX, "name": wrong}
        )
        assert answer.status == 200
    assert hub.faults == []
