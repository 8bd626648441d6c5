"""The same table for passwords and access tokens: they are the owner, within what they carry."""

from __future__ import annotations

import pytest
import pytest_asyncio

from hexhub.domain import users
from hexhub.domain.audit import OPERATOR
from tests.hexhub.grants import bearer, code, let_in, second_factor
from tests.hexhub.hubs import Answer, Person, TestHub
from tests.hexhub.sites.api.test_access import (
    NOT_AUTHORIZED,
    TABLE,
    Row,
    _ask,
    callers,
    hub,
)

__all__ = ["callers", "hub"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "a good password"
NO_SECOND_FACTOR = "Two-factor authentication must be enabled for API write access"
OPEN_TO_ALL = ("/api/short_url",)
"""Writes that ask for no permission, and so for no second factor."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(hub: TestHub, callers: dict[str, Person]) -> dict[str, Person]:
    """The owner of everything in the table, by what they may show."""
    assert callers["owner"].name == "mara"
    hashed = await hub.hub.passwords.hash(PASSWORD)
    await hub.hub.store.transact(users.set_password, OPERATOR, "mara", hashed, hub.hub.now())
    return {
        "password": hub.basic("mara", PASSWORD),
        "token": bearer(hub, "mara", await let_in(hub, "mara", "api repositories")),
        "reading token": bearer(hub, "mara", await let_in(hub, "mara", "api:read")),
        "fetching token": bearer(hub, "mara", await let_in(hub, "mara", "repositories")),
    }


def of_owner(row: Row) -> int:
    return row.named.get("owner", row.others)


def is_guarded_write(row: Row) -> bool:
    return row.method != "GET" and row.path not in OPEN_TO_ALL


def asks_nothing(row: Row) -> bool:
    """Whether the row is open to credentials of any kind."""
    return row.named.get("fetcher", row.others) == row.others


async def each(person: Person) -> list[tuple[Row, Answer]]:
    return [(row, await _ask(person, row)) for row in TABLE]


async def test_a_password_is_its_owner_but_no_key(people: dict[str, Person]) -> None:
    for row, answer in await each(people["password"]):
        expected = 401 if row.path.startswith("/api/auth") else of_owner(row)
        assert answer.status == expected, row


async def test_a_reading_token_reads(people: dict[str, Person]) -> None:
    for row, answer in await each(people["reading token"]):
        if row.path.startswith("/api/auth"):
            assert answer.status == 204
        elif is_guarded_write(row):
            assert (answer.status, answer.value["message"]) == (401, NOT_AUTHORIZED), row
        else:
            assert answer.status == of_owner(row), row


async def test_a_fetching_token_does_nothing_on_the_api(people: dict[str, Person]) -> None:
    for row, answer in await each(people["fetching token"]):
        assert answer.status == (of_owner(row) if asks_nothing(row) else 401), row


async def test_a_token_writes_only_with_a_second_factor(
    hub: TestHub, people: dict[str, Person]
) -> None:
    for row, answer in await each(people["token"]):
        if is_guarded_write(row):
            assert (answer.status, answer.value["message"]) == (403, NO_SECOND_FACTOR), row
        elif not row.path.startswith("/api/auth"):
            assert answer.status == of_owner(row), row

    secret = await second_factor(hub, "mara")
    token = people["token"].authorization
    for row in filter(is_guarded_write, TABLE):
        without = await _ask(Person(hub, "mara", token), row)
        assert without.status == 401, row
        assert without.headers["WWW-Authenticate"] == 'Bearer realm="hex", error="totp_required"'
        data = b"no archive" if row.path.endswith(("/releases", "/docs")) else None
        answer = await people["token"].request(
            row.method, row.path, json=row.body, data=data, headers={"x-hex-otp": code(hub, secret)}
        )
        assert answer.status == of_owner(row), row
