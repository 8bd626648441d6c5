"""OAuth as clients use it, and second factors, for tests."""

from __future__ import annotations

import os
import secrets
from typing import Any

import pyotp

from hexhub.domain import device_codes, sessions, two_factor
from hexhub.domain.audit import OPERATOR
from hexhub.formats import sealed
from hexhub.http import otp
from tests.hexhub.hubs import Answer, Person, TestHub

MIX = "78ea6566-89fd-481e-a1d6-7d9d78eacca8"
GLEAM = "877731e8-cb88-45e1-9b84-9214de7da421"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


async def device(hub: TestHub, scope: str = "api repositories", client: str = MIX) -> Any:
    """What a client gets that asks to be let in."""
    answer = await hub.nobody.post(
        "/api/oauth/device_authorization",
        {"client_id": client, "scope": scope, "name": "laptop"},
    )
    assert answer.status == 200, answer.body
    return answer.value


async def approve(hub: TestHub, name: str, user_code: str, *scopes: str) -> None:
    """The person agrees, to everything unless scopes are named."""
    with hub.hub.store.view() as view:
        row = device_codes.waiting(view, user_code, hub.hub.now())
    session = sessions.of_client(
        f"user:{name}", secrets.token_hex(16), row.client, row.name, "", "", hub.hub.now()
    )
    await hub.hub.store.transact(
        device_codes.approve,
        OPERATOR,
        user_code,
        name,
        scopes or row.scopes,
        session,
        hub.hub.now(),
        two_factor=True,
    )


async def poll(hub: TestHub, device_code: object, client: str = MIX) -> Answer:
    """Ask for the tokens of a device code."""
    return await hub.nobody.post(
        "/api/oauth/token",
        {"grant_type": DEVICE, "client_id": client, "device_code": device_code},
    )


async def exchange(hub: TestHub, key: Person) -> Any:
    """The token that a key is exchanged for."""
    answer = await hub.nobody.post(
        "/api/oauth/token",
        {
            "grant_type": "client_credentials",
            "client_id": MIX,
            "client_secret": key.authorization,
            "scope": "api",
        },
    )
    assert answer.status == 200, answer.body
    return answer.value


async def let_in(hub: TestHub, name: str, scope: str = "api repositories") -> Any:
    """The tokens of a client that this user let in."""
    asked = await device(hub, scope)
    await approve(hub, name, asked["user_code"])
    answer = await poll(hub, asked["device_code"])
    assert answer.status == 200, answer.body
    return answer.value


def bearer(hub: TestHub, name: str, tokens: Any) -> Person:
    """A user who acts by an access token."""
    return Person(hub, name, f"Bearer {tokens['access_token']}")


async def refresh(hub: TestHub, token: object, client: str = MIX) -> Answer:
    """Ask for new tokens."""
    return await hub.nobody.post(
        "/api/oauth/token",
        {"grant_type": "refresh_token", "client_id": client, "refresh_token": token},
    )


async def second_factor(hub: TestHub, name: str) -> str:
    """Turn two-factor on for a user; the base32 secret."""
    secret = pyotp.random_base32()
    wrapped = sealed.wrap(hub.hub.sealing_key, otp.PURPOSE, secret.encode(), os.urandom(12))
    now = hub.hub.now()
    await hub.hub.store.transact(two_factor.begin, name, wrapped, now)
    await hub.hub.store.transact(two_factor.confirm, OPERATOR, name, wrapped, (), now)
    return secret


def code(hub: TestHub, secret: str, steps: int = 0) -> str:
    """The code of now, or of some steps of 30 s from now."""
    return pyotp.TOTP(secret).at(int(hub.hub.now().timestamp()) + 30 * steps)
