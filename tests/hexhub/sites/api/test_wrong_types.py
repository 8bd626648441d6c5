"""Whatever a body holds, in JSON or as an Erlang term: the answer is a map of errors, never a 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub

BODIES: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/api/users"): (
        "username",
        "email",
        "emails",
        "password",
        "password_confirmation",
        "full_name",
    ),
    ("POST", "/api/keys"): ("name", "permissions", "revoke_at"),
    ("POST", "/api/orgs/forest/keys"): ("name", "permissions", "revoke_at"),
    ("POST", "/api/orgs/forest"): ("seats",),
    ("POST", "/api/orgs/forest/members"): ("name", "role"),
    ("POST", "/api/orgs/forest/members/olaf"): ("role",),
    ("PUT", "/api/orgs/forest/policies/strict"): ("description", "visibility", "repositories"),
    ("PUT", "/api/packages/acorn/owners/olaf"): ("level", "transfer"),
    ("POST", "/api/packages/acorn/releases/1.0.0/retire"): ("reason", "message"),
    ("POST", "/api/packages/acorn/retire"): ("reason", "message", "replace"),
    ("POST", "/api/short_url"): ("url",),
    ("POST", "/api/oauth/token"): (
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
    ),
    ("POST", "/api/oauth/device_authorization"): ("client_id", "scope", "name"),
    ("POST", "/api/oauth/revoke"): ("token", "client_id"),
    ("POST", "/api/oauth/revoke_by_hash"): ("token_hash",),
}
FIELDS = [(*route, field) for route, fields in BODIES.items() for field in fields]
ALSO = ("_method", "_format", "page", "per_page", "replace")

atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(max_size=12) | st.sampled_from(["", "\0", "a" * 70_000, "\ud7ff", "../..", "1.0.0"])
values = st.recursive(
    atoms | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
objects = st.lists(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("domain", "resource", "email", "repository", "action"), values),
    ),
    max_size=3,
)


NO_OBJECTS = (b"[]", b'"text"', b"7", b"null", b"[1, 2]", b"\xff", b"{", b"[" * 100_000)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub where everybody may register."""
    async with hubs.running(tmp_path, registration="open", rate_limits="false") as running:
        yield running


@pytest.fixture
async def world(hub: TestHub) -> Person:
    """A caller for whom everything in BODIES exists."""
    mara = await hub.user("mara", password="a good password")
    await hub.user("olaf")
    await hub.organization("forest", mara, olaf="read")
    tar = tarball("acorn", "1.0.0", {"src/a.erl": b"-module(a).\n"})
    assert (await mara.publish(tar)).status == 201
    return mara


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    target=st.sampled_from(FIELDS),
    value=values | objects,
    others=st.dictionaries(st.sampled_from(ALSO), values, max_size=1),
    erlang=st.booleans(),
)
async def test_wrong_types_are_refused_with_a_map(
    world: Person, target: tuple[str, str, str], value: Any, others: dict[str, Any], erlang: bool
) -> None:
    method, path, field = target
    body = {field: value} | others
    sent = {"erlang": body} if erlang else {"json": body}

    answer = await world.request(method, path, **sent)  # type: ignore[arg-type]

    assert answer.status < 500, answer.body
    if answer.status == 422:
        errors = answer.errors
        assert isinstance(errors, dict | str)
        assert isinstance(errors, dict) or path.startswith("/api/orgs/forest")
        assert errors


async def test_bodies_that_are_no_objects_are_answered(world: Person) -> None:
    for method, path in sorted(BODIES):
        for body in NO_OBJECTS:
            answer = await world.request(
                method, path, data=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status < 500, (method, path, body[:20])
