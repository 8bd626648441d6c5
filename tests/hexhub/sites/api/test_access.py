"""Who gets which answer from each endpoint: the table of http-api.md §2.8, by kind of caller."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from hexhub import app
from hexhub.http.metrics import Metrics
from hexhub.sites.api import testing
from tests.hexhub.hubs import Answer, Person, TestHub
from tests.hexhub.packages import docs, package

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS = (
    "nobody",
    "wrong_key",
    "revoked_key",
    "expired_key",
    "reader",
    "fetcher",
    "of_package",
    "of_other_package",
    "organization",
    "unverified",
    "stranger",
    "maintainer",
    "member",
    "writer",
    "owner",
)

NOT_AUTHORIZED = "key not authorized for this action"
NOT_ALLOWED = "account not authorized for this action"
MISSING = "missing authentication information"
UNVERIFIED = "email not verified"
NO_PAGE = "Page not found"


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(hub: TestHub) -> dict[str, Person]:
    """One caller of each kind. `acorn` is public, `oak` private to `forest`; both are mara's."""
    mara = await hub.user("mara")
    people = {
        "owner": mara,
        "stranger": await hub.user("otto"),
        "maintainer": await hub.user("tina"),
        "member": await hub.user("rolf"),
        "writer": await hub.user("vera"),
    }
    await hub.organization("forest", mara, rolf="read", vera="write")
    for name in ("acorn", "other"):
        assert (await mara.publish(package(name))).status == 201
        assert (await mara.publish(package(name, "2.0.0"))).status == 201
    assert (await mara.publish(package("oak"), repository="forest")).status == 201
    done = await mara.put("/api/packages/acorn/owners/tina", {"level": "maintainer"})
    assert done.status == 204
    await mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())
    await mara.post("/api/repos/forest/packages/oak/releases/1.0.0/docs", data=docs())
    revoked = await hub.key("mara", "api")
    assert (await revoked.delete("/api/keys/test-2")).status == 200
    now = hub.hub.now()
    expiring = await hub.key("mara", "api", revoke_at=now + hub.minute)
    unverified = await hub.user("lena", verified=False)
    people |= {
        "nobody": hub.nobody,
        "wrong_key": Person(hub, None, "0" * 32),
        "revoked_key": revoked,
        "expired_key": expiring,
        "reader": await hub.key("mara", "api:read"),
        "fetcher": await hub.key("mara", "repositories"),
        "of_package": await hub.key("mara", "package:acorn"),
        "of_other_package": await hub.key("mara", "package:other"),
        "organization": await hub.key("forest", "api", organization=True),
        "unverified": unverified,
    }
    hub.clock.ahead += 2 * hub.minute
    assert set(people) == set(CALLERS)
    return people


class Row(NamedTuple):
    """An endpoint and what each caller gets; `others` is for whoever is not named."""

    method: str
    path: str
    others: int
    named: dict[str, int]
    body: Any = None


BAD_KEYS = {"wrong_key": 401, "revoked_key": 401, "expired_key": 401}
WEAK = BAD_KEYS | {"fetcher": 401, "unverified": 403}
"""What a public read answers to those who bring something that is no good."""
NO_WRITE = WEAK | {"nobody": 401, "reader": 401, "of_package": 401, "of_other_package": 401}

OAK = "/api/repos/forest/packages/oak"
PRIVATE_READ = WEAK | {"nobody": 404, "stranger": 404, "maintainer": 404}
OWNERS_ONLY = {"stranger": 403, "member": 403, "writer": 403, "organization": 403}

PRIVATE_WRITE = NO_WRITE | {"nobody": 404, "stranger": 404, "maintainer": 404, "member": 404}
ADMIN_ONLY = PRIVATE_WRITE | {"writer": 404}

# Writes are written so that the action itself fails last, with 404 or 422: whoever gets that far
# was allowed, and nothing changes for the next caller.
UNKNOWN = "9.9.9"
TABLE = [
    Row("GET", "/api", 200, BAD_KEYS),
    Row("GET", "/api/users/mara", 200, BAD_KEYS),
    Row("GET", "/api/users/me", 200, WEAK | {"nobody": 401, "organization": 404}),
    Row("GET", "/api/users/mara/test", 200, WEAK | {"nobody": 401}),
    Row("GET", "/api/packages", 200, WEAK),
    Row("GET", "/api/repos/hexpm/packages", 200, WEAK),
    Row("GET", "/api/packages/acorn", 200, WEAK),
    Row("GET", "/api/packages/acorn/releases/1.0.0", 200, WEAK),
    Row("GET", "/api/packages/acorn/releases/1.0.0/docs", 302, WEAK),
    Row("GET", "/api/packages/acorn/releases/2.0.0/docs", 404, WEAK),
    Row("GET", "/api/packages/acorn/owners", 200, WEAK),
    Row("GET", "/api/packages/acorn/owners/mara", 200, WEAK),
    Row("GET", "/api/packages/acorn/owners/otto", 404, WEAK),
    Row("GET", "/api/repos/forest/packages", 200, PRIVATE_READ),
    Row("GET", OAK, 200, PRIVATE_READ),
    Row("GET", f"{OAK}/releases/1.0.0", 200, PRIVATE_READ),
    Row("GET", f"{OAK}/releases/1.0.0/docs", 302, PRIVATE_READ),
    Row("GET", f"{OAK}/owners", 200, PRIVATE_READ),
    Row("GET", "/api/repos/unknown/packages/oak", 404, WEAK),
    Row(
        "POST",
        "/api/packages/acorn/releases",
        422,
        WEAK | OWNERS_ONLY | {"nobody": 401, "reader": 401, "of_other_package": 401},
    ),
    Row("POST", "/api/packages/fresh/releases", 422, NO_WRITE),
    Row(
        "POST",
        "/api/repos/forest/packages/oak/releases",
        422,
        NO_WRITE | {"stranger": 404, "maintainer": 404, "member": 404},
    ),
    Row(
        "POST",
        "/api/repos/forest/packages/fresh/releases",
        422,
        NO_WRITE | {"stranger": 404, "maintainer": 404, "member": 403},
    ),
    Row(
        "DELETE",
        f"/api/packages/acorn/releases/{UNKNOWN}",
        404,
        WEAK | OWNERS_ONLY | {"nobody": 401, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "POST",
        "/api/packages/acorn/releases/1.0.0/retire",
        422,
        WEAK | OWNERS_ONLY | {"nobody": 403, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "POST",
        "/api/packages/acorn/retire",
        422,
        WEAK | OWNERS_ONLY | {"nobody": 403, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "POST",
        f"{OAK}/releases/1.0.0/retire",
        422,
        NO_WRITE | {"nobody": 404, "stranger": 404, "maintainer": 404, "member": 404},
    ),
    Row(
        "DELETE",
        f"/api/packages/acorn/releases/{UNKNOWN}/retire",
        404,
        WEAK | OWNERS_ONLY | {"nobody": 403, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "POST",
        f"/api/packages/acorn/releases/{UNKNOWN}/docs",
        404,
        WEAK | OWNERS_ONLY | {"nobody": 403, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "DELETE",
        f"/api/packages/acorn/releases/{UNKNOWN}/docs",
        404,
        WEAK | OWNERS_ONLY | {"nobody": 403, "reader": 401, "of_other_package": 401},
    ),
    Row(
        "PUT",
        "/api/packages/acorn/owners/otto",
        422,
        WEAK
        | OWNERS_ONLY
        | {"nobody": 403, "reader": 401, "of_other_package": 401, "maintainer": 403},
        {"level": "none"},
    ),
    Row(
        "DELETE",
        "/api/packages/acorn/owners/otto",
        422,
        WEAK
        | OWNERS_ONLY
        | {"nobody": 403, "reader": 401, "of_other_package": 401, "maintainer": 403},
    ),
    Row(
        "DELETE",
        f"{OAK}/owners/otto",
        422,
        NO_WRITE
        | {"nobody": 404, "stranger": 404, "maintainer": 404, "member": 404, "writer": 404},
    ),
    Row("PUT", "/api/packages/unknown/owners/otto", 404, NO_WRITE | {"nobody": 404}),
    Row("GET", "/api/keys", 200, WEAK | {"nobody": 401, "organization": 404}),
    Row("GET", "/api/keys/unknown", 404, WEAK | {"nobody": 401}),
    Row(
        "POST",
        "/api/keys",
        422,
        NO_WRITE | {"organization": 404, "unverified": 422},
        {"name": ""},
    ),
    Row("DELETE", "/api/keys/unknown", 404, NO_WRITE),
    Row(
        "GET",
        "/api/orgs/forest/keys",
        200,
        WEAK | {"nobody": 401, "stranger": 404, "maintainer": 404},
    ),
    Row(
        "POST",
        "/api/orgs/forest/keys",
        422,
        NO_WRITE | {"unverified": 404, "stranger": 404, "maintainer": 404, "member": 404},
        {"name": ""},
    ),
    Row("DELETE", "/api/orgs/forest/keys/unknown", 404, NO_WRITE),
    Row("GET", "/api/orgs/unknown/keys", 404, WEAK | {"nobody": 401}),
    Row(
        "GET",
        "/api/auth?domain=api&resource=read",
        200,
        BAD_KEYS | {"nobody": 401, "unverified": 403, "fetcher": 401},
    ),
    Row("GET", "/api/openapi.yaml", 200, {}),
    Row("POST", "/api/short_url", 422, BAD_KEYS, {}),
    Row("GET", "/api/users/me/audit-logs", 200, WEAK | {"nobody": 401, "organization": 404}),
    Row("GET", "/api/packages/acorn/audit-logs", 200, WEAK),
    Row("GET", f"{OAK}/audit-logs", 200, PRIVATE_READ),
    Row("GET", "/api/packages/acorn/releases/1.0.0/download", 302, WEAK),
    Row("GET", f"{OAK}/releases/1.0.0/download", 302, WEAK),
    Row("GET", "/api/packages/acorn/releases/1.0.0/docs/download", 302, WEAK),
    Row("GET", f"{OAK}/releases/1.0.0/docs/download", 302, WEAK),
    Row("GET", f"{OAK}/owners/mara", 404, PRIVATE_READ),
    Row("PUT", f"{OAK}/owners/otto", 422, PRIVATE_WRITE | {"writer": 404}, {"level": "none"}),
    Row("DELETE", f"{OAK}/releases/{UNKNOWN}", 404, PRIVATE_WRITE | {"nobody": 401}),
    Row("DELETE", f"{OAK}/releases/{UNKNOWN}/retire", 404, PRIVATE_WRITE),
    Row("POST", f"{OAK}/retire", 422, PRIVATE_WRITE),
    Row("POST", f"{OAK}/releases/{UNKNOWN}/docs", 404, PRIVATE_WRITE),
    Row("DELETE", f"{OAK}/releases/{UNKNOWN}/docs", 404, PRIVATE_WRITE),
    Row("GET", "/api/orgs/forest/keys/unknown", 404, WEAK | {"nobody": 401}),
    Row("GET", "/api/repos", 200, WEAK),
    Row("GET", "/api/repos/hexpm", 200, WEAK),
    Row("GET", "/api/repos/forest", 200, PRIVATE_READ),
    Row("GET", "/api/repos/unknown", 404, WEAK),
    Row("GET", "/api/orgs", 200, WEAK),
    Row("GET", "/api/orgs/forest", 200, PRIVATE_READ),
    Row("GET", "/api/orgs/unknown", 404, WEAK),
    Row("GET", "/api/orgs/forest/audit-logs", 200, PRIVATE_READ),
    Row("GET", "/api/orgs/forest/members", 200, PRIVATE_READ),
    Row("GET", "/api/orgs/forest/members/mara", 200, PRIVATE_READ),
    Row("GET", "/api/orgs/forest/policies", 200, PRIVATE_READ),
    Row("GET", "/api/orgs/forest/policies/unknown", 404, PRIVATE_READ),
    Row("POST", "/api/orgs/forest", 422, ADMIN_ONLY, {"seats": "x"}),
    Row("POST", "/api/orgs/forest/members", 422, ADMIN_ONLY, {"name": "unknown"}),
    Row("POST", "/api/orgs/forest/members/mara", 422, ADMIN_ONLY, {"role": "king"}),
    Row("DELETE", "/api/orgs/forest/members/unknown", 204, ADMIN_ONLY),
    Row("PUT", "/api/orgs/forest/policies/X", 422, ADMIN_ONLY, {}),
    Row("DELETE", "/api/orgs/forest/policies/unknown", 404, ADMIN_ONLY),
]

ELSEWHERE = {
    ("POST", "/api/publish"): "below: a publish is read before it is judged",
    ("POST", "/api/repos/{repository}/publish"): "below",
    ("DELETE", "/api/keys"): "test_keys: it ends the keys of the callers here",
    ("DELETE", "/api/orgs/{organization}/keys"): "test_keys",
    ("POST", "/api/users"): "test_users: closed by default",
    ("POST", "/api/users/{who}/reset"): "test_users: limited by address",
    ("POST", "/api/oauth/token"): "test_oauth: its errors have another shape",
    ("POST", "/api/oauth/device_authorization"): "test_oauth",
    ("POST", "/api/oauth/revoke"): "test_oauth",
    ("POST", "/api/oauth/revoke_by_hash"): "test_oauth",
}
"""Routes of the API that other tests walk, and why."""

NOT_THE_API = ("/api/cluster/",)


def _fits(pattern: str, path: str) -> bool:
    parts, wanted = path.partition("?")[0].split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        one == two or two.startswith("{") for one, two in zip(parts, wanted, strict=True)
    )


async def test_every_route_has_a_row() -> None:
    of_test_mode = {(route.method, f"/api{route.pattern}") for route in testing.routes.under("")}
    routes = {
        (route.method, route.pattern)
        for route in app.router(Metrics()).routes
        if route.pattern.startswith("/api") and not route.pattern.startswith(NOT_THE_API)
    } - of_test_mode
    rowless = {
        (method, pattern)
        for method, pattern in routes
        if not any(row.method == method and _fits(pattern, row.path) for row in TABLE)
    }
    assert rowless == set(ELSEWHERE)


def _message(status: int, caller: str, row: Row) -> str | None:
    """What a refusal says."""
    if status == 404:
        return NO_PAGE
    if status == 403:
        return UNVERIFIED if caller == "unverified" else NOT_ALLOWED
    if status == 401:
        return {
            "nobody": MISSING,
            "wrong_key": "invalid API key",
            "revoked_key": "API key revoked",
            "expired_key": "API key revoked",
        }.get(caller, NOT_AUTHORIZED)
    return None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.path}")
async def test_each_caller_gets_the_status_of_the_table(
    callers: dict[str, Person], row: Row
) -> None:
    got, expected = {}, {}
    for name in CALLERS:
        answer = await _ask(callers[name], row)
        status = row.named.get(name, row.others)
        said = answer.value["message"] if answer.status in (401, 403, 404) else None
        got[name] = (answer.status, said)
        expected[name] = (status, _message(status, name, row))
    assert got == expected


async def _ask(caller: Person, row: Row) -> Answer:
    upload = row.method == "POST" and row.path.endswith(("/releases", "/docs"))
    data = b"no archive" if upload else None
    return await caller.request(row.method, row.path, json=row.body, data=data)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.path}")
async def test_every_401_has_a_challenge_and_nothing_else_has(
    callers: dict[str, Person], row: Row
) -> None:
    for name in CALLERS:
        answer = await _ask(callers[name], row)
        challenge = answer.headers.get("WWW-Authenticate")
        assert challenge == ("Basic realm=hex" if answer.status == 401 else None)


PUBLISH = NO_WRITE | {"organization": 201}


@pytest.mark.parametrize("name", CALLERS)
async def test_who_may_publish_a_new_package_by_the_route_that_reads_its_name(
    callers: dict[str, Person], name: str
) -> None:
    answer = await callers[name].publish(package(f"new_{name}"))
    assert answer.status == PUBLISH.get(name, 201)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nobody", 422),
        ("wrong_key", 401),
        ("reader", 422),
        ("unverified", 422),
        ("owner", 422),
    ],
)
async def test_that_route_judges_the_tarball_before_it_judges_the_caller(
    callers: dict[str, Person], name: str, status: int
) -> None:
    answer = await callers[name].publish(b"no tarball")
    assert answer.status == status


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nobody", 401),
        ("stranger", 403),
        ("of_package", 200),
        ("of_other_package", 401),
        ("maintainer", 200),
        ("organization", 403),
        ("reader", 401),
    ],
)
async def test_who_may_replace_by_the_route_that_reads_the_name(
    callers: dict[str, Person], name: str, status: int
) -> None:
    assert (await callers[name].publish(package("acorn"))).status == status


@pytest.mark.parametrize(
    ("name", "status"),
    [("member", 403), ("stranger", 404), ("writer", 201), ("organization", 201), ("nobody", 401)],
)
async def test_who_may_publish_to_a_private_repository(
    callers: dict[str, Person], name: str, status: int
) -> None:
    answer = await callers[name].publish(package(f"own_{name}"), repository="forest")
    assert answer.status == status


async def test_a_key_for_a_package_cannot_bring_it_back(hub: TestHub) -> None:
    """Not even when it was there: what comes back may be someone else's."""
    mara = await hub.key("mara", "api")
    await mara.publish(package("gone"))
    of_gone = await hub.key("mara", "package:gone")
    assert (await of_gone.delete("/api/packages/gone/releases/1.0.0")).status == 204
    for answer in (
        await of_gone.publish(package("gone")),
        await of_gone.post("/api/packages/gone/releases", data=package("gone")),
    ):
        assert (answer.status, answer.value["message"]) == (401, NOT_AUTHORIZED)


async def test_a_disabled_account_is_out_at_once(hub: TestHub) -> None:
    otto = await hub.user("gone_otto", password="a good password")
    assert (await otto.get("/api/users/me")).status == 200
    by_password = hub.basic("gone_otto", "a good password")
    assert (await by_password.get("/api/users/me")).status == 200
    await hub.disable("gone_otto")
    assert (await otto.get("/api/users/me")).status == 401
    refused = await by_password.get("/api/users/me")
    assert (refused.status, refused.value["message"]) == (400, "account is disabled")
