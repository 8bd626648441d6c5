"""Whatever a client sends to OAuth, it gets an answer of OAuth and never a fault of the hub."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.hexhub.grants import DEVICE, GLEAM, MIX
from tests.hexhub.hubs import Answer, TestHub

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
GRANTS = st.sampled_from([DEVICE, "refresh_token", "client_credentials", "authorization_code"])
FIELDS = st.fixed_dictionaries(
    {"grant_type": GRANTS | VALUES, "client_id": st.sampled_from([MIX, GLEAM]) | VALUES},
    optional=dict.fromkeys(
        (
            "client_secret",
            "device_code",
            "refresh_token",
            "code",
            "redirect_uri",
            "code_verifier",
            "scope",
            "name",
            "token",
            "token_hash",
        ),
        VALUES,
    ),
)
PATIENT = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def _post(hub: TestHub, path: str, fields: dict[str, Any], erlang: bool) -> Answer:
    if erlang:
        return await hub.nobody.post(path, erlang=fields)
    return await hub.nobody.post(path, fields)


@PATIENT
@given(fields=FIELDS, erlang=st.booleans())
async def test_a_token_request_is_refused_as_oauth_refuses(
    module_hub: TestHub, fields: dict[str, Any], erlang: bool
) -> None:
    answer = await _post(module_hub, "/api/oauth/token", fields, erlang)
    assert answer.status in (400, 401)
    assert set(answer.value) == {"error", "error_description"}


@PATIENT
@given(fields=FIELDS, erlang=st.booleans())
async def test_a_device_authorization_is_given_or_refused_as_oauth_refuses(
    module_hub: TestHub, fields: dict[str, Any], erlang: bool
) -> None:
    answer = await _post(module_hub, "/api/oauth/device_authorization", fields, erlang)
    if answer.status == 200:
        assert len(answer.value["user_code"]) == 8
    else:
        assert answer.status in (400, 401)
        assert set(answer.value) == {"error", "error_description"}


@PATIENT
@given(fields=FIELDS, path=st.sampled_from(["revoke", "revoke_by_hash"]))
async def test_a_revocation_says_nothing(
    module_hub: TestHub, fields: dict[str, Any], path: str
) -> None:
    answer = await module_hub.nobody.post(f"/api/oauth/{path}", fields)
    assert (answer.status, answer.body) == (200, b"")


@PATIENT
@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80))
async def test_what_is_no_token_is_an_invalid_key(module_hub: TestHub, token: str) -> None:
    for scheme in ("Bearer ", ""):
        answer = await module_hub.nobody.get(
            "/api/users/me", Authorization=f"{scheme}{token}.{token}.{token}"
        )
        assert answer.status == 401
        assert answer.value["message"] == "invalid API key"
