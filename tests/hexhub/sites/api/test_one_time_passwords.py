"""One-time passwords on the API (http-api.md §2.3, §2.5): byte-exact challenges, limits, no replay guard."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from tests.hexhub import hubs
from tests.hexhub.grants import bearer, code, let_in, second_factor
from tests.hexhub.hubs import Answer, Person, TestHub
from tests.hexhub.packages import docs, package

PASSWORD = "a good password"
REQUIRED = 'Bearer realm="hex", error="totp_required"'
INVALID = 'Bearer realm="hex", error="invalid_totp"'


async def _make(person: Person, otp: str | None = None) -> Answer:
    headers = {} if otp is None else {"x-hex-otp": otp}
    return await person.post("/api/keys", {"name": "laptop"}, headers=headers)


async def test_a_write_by_a_token_needs_two_factor_on_the_account(
    hub: TestHub, mara: Person
) -> None:
    answer = await _make(bearer(hub, "mara", await let_in(hub, "mara")))
    assert answer.status == 403
    assert (
        answer.value["message"] == "Two-factor authentication must be enabled for API write access"
    )


async def test_a_write_by_a_token_asks_for_a_code(hub: TestHub, mara: Person) -> None:
    secret = await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    missing = await _make(me)
    assert missing.status == 401
    assert missing.headers["WWW-Authenticate"] == REQUIRED
    assert missing.value["message"] == (
        "Two-factor authentication required. Include X-Hex-OTP header with your TOTP code."
    )
    wrong = await _make(me, "000000")
    assert wrong.status == 401
    assert wrong.headers["WWW-Authenticate"] == INVALID
    assert wrong.value["message"] == "Invalid two-factor authentication code"
    assert (await _make(me, code(hub, secret))).status == 201
    assert (await me.get("/api/users/me")).status == 200


async def test_one_code_does_for_release_docs_and_transfer(hub: TestHub, mara: Person) -> None:
    secret = await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    await hub.organization("forest", mara)
    headers = {"x-hex-otp": code(hub, secret)}
    statuses = [
        (
            await me.post(
                "/api/packages/acorn/releases?replace=false",
                data=package("acorn", "1.0.0"),
                headers=headers,
            )
        ).status,
        (
            await me.post("/api/packages/acorn/releases/1.0.0/docs", data=docs(), headers=headers)
        ).status,
        (
            await me.put(
                "/api/packages/acorn/owners/forest",
                {"level": "full", "transfer": True},
                headers=headers,
            )
        ).status,
    ]
    assert statuses == [201, 201, 204]


async def test_the_publish_that_finds_the_name_inside_asks_too(hub: TestHub, mara: Person) -> None:
    secret = await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    tarball = package("acorn", "1.0.0")
    assert (await me.publish(tarball)).headers["WWW-Authenticate"] == REQUIRED
    answer = await me.post("/api/publish", data=tarball, headers={"x-hex-otp": code(hub, secret)})
    assert answer.status == 201


async def test_a_code_is_not_awaited_before_the_body(hub: TestHub, mara: Person) -> None:
    """With `Expect` the challenge comes before anything is uploaded."""
    await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    answer = await me.post(
        "/api/packages/acorn/releases",
        data=package("acorn", "1.0.0"),
        headers={"Expect": "100-continue"},
    )
    assert answer.status == 401


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 201), (0, 201), (3, 201), (5, 401)])
async def test_codes_count_from_one_step_back_to_three_ahead(
    hub: TestHub, mara: Person, steps: int, status: int
) -> None:
    secret = await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    assert (await _make(me, code(hub, secret, steps))).status == status


@pytest.mark.parametrize(
    "wrong", ["", "1", "12345", "1234567", "abcdef", "１２３４５６", "0" * 5000]
)
async def test_what_is_no_code_is_a_wrong_one(hub: TestHub, mara: Person, wrong: str) -> None:
    await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    assert (await _make(me, wrong)).headers["WWW-Authenticate"] == INVALID


async def test_guesses_at_a_code_end_after_five(hub: TestHub, mara: Person) -> None:
    secret = await second_factor(hub, "mara")
    me = bearer(hub, "mara", await let_in(hub, "mara"))
    assert [(await _make(me, "000000")).status for _ in range(5)] == [401] * 5
    answer = await _make(me, code(hub, secret))
    assert answer.status == 429
    assert answer.value["message"] == (
        "Too many failed two-factor authentication attempts. Please try again later."
    )
    assert (await me.get("/api/users/me")).status == 200
    hub.clock.ahead = timedelta(minutes=10, seconds=1)
    assert (await _make(me, code(hub, secret))).status == 201


async def test_guesses_from_one_address_end_after_twenty(hub: TestHub, mara: Person) -> None:
    people = []
    for name in ("mara", "nils", "olga", "piet", "quin"):
        if name != "mara":
            await hub.user(name)
        secret = await second_factor(hub, name)
        people.append((bearer(hub, name, await let_in(hub, name)), secret))
    for person, _ in people[:4]:
        assert [(await _make(person, "000000")).status for _ in range(5)] == [401] * 5
    person, secret = people[4]
    assert (await _make(person, code(hub, secret))).status == 429


async def test_keys_are_never_asked_for_a_code(hub: TestHub, mara: Person) -> None:
    await second_factor(hub, "mara")
    assert (await _make(mara)).status == 201


# Basic


async def test_a_password_alone_does_not_go_round_the_second_factor(hub: TestHub) -> None:
    await hub.user("mara", password=PASSWORD)
    basic = hub.basic("mara", PASSWORD)
    assert (await _make(basic)).status == 201
    secret = await second_factor(hub, "mara")
    for otp in (None, "000000"):
        answer = await _make(basic, otp)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="hex"'
        assert answer.value["message"] == (
            "Two-factor authentication is on for this account. Use an API key or mix hex.user auth."
        )
    assert (await _make(basic, code(hub, secret))).status == 201


async def test_a_wrong_password_says_nothing_of_the_second_factor(hub: TestHub) -> None:
    await hub.user("mara", password=PASSWORD)
    await second_factor(hub, "mara")
    answer = await _make(hub.basic("mara", "wrong"))
    assert answer.value["message"] == "invalid username and password combination"
    assert answer.headers["WWW-Authenticate"] == "Basic realm=hex"


async def test_codes_by_basic_are_limited_as_well(hub: TestHub) -> None:
    await hub.user("mara", password=PASSWORD)
    secret = await second_factor(hub, "mara")
    basic = hub.basic("mara", PASSWORD)
    for _ in range(5):
        assert (await _make(basic, "000000")).status == 401
    assert (await _make(basic, code(hub, secret))).status == 429


async def test_bytes_that_are_no_text_are_no_password(hub: TestHub) -> None:
    for raw in (b"\xff\xfe:\xff", b"mara", b":", b"a\0b:c"):
        encoded = base64.b64encode(raw).decode()
        answer = await Person(hub, None, f"Basic {encoded}").get("/api/users/me")
        assert answer.status == 401
    assert hub.faults == []


# Required by the operator


async def test_the_operator_can_require_it_of_everyone_who_publishes(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, hexhub_require_two_factor="true") as hub:
        mara = await hub.user("mara", password=PASSWORD)
        refused = await mara.publish(package("acorn", "1.0.0"))
        assert refused.status == 403
        assert refused.value["message"] == (
            "Two-factor authentication must be enabled for API write access"
        )
        assert (await hub.basic("mara", PASSWORD).get("/api/users/me")).status == 401
        assert (await mara.get("/api/users/me")).status == 200
        await second_factor(hub, "mara")
        assert (await mara.publish(package("acorn", "1.0.0"))).status == 201
        await hub.organization("forest", mara)
        forest = await hub.key("forest", "api", organization=True)
        answer = await forest.publish(package("oak", "1.0.0"), repository="forest")
        assert answer.status == 201, "an organization has no second factor"
