"""Rate limits, blocked networks, and whose address counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from hexhub import app
from hexhub.domain import networks
from hexhub.domain.audit import OPERATOR
from hexhub.http.metrics import Metrics
from tests.hexhub import hubs
from tests.hexhub.hubs import Answer, Person, TestHub

FROM = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub behind a proxy on this machine, so that loopback is no exception."""
    async with hubs.running(
        tmp_path, behind_proxy="127.0.0.1", rate_limits="ip=3 user=5 organization=4"
    ) as running:
        # The middle of a minute, so that no window ends while a test runs.
        at = running.hub.now()
        running.clock.ahead = timedelta(seconds=(70 - at.second) % 60)
        yield running


async def ask(person: Person, ip: str, path: str = "/api/packages/acorn") -> Answer:
    return await person.request("GET", path, headers={"X-Forwarded-For": ip})


async def test_an_address_has_so_many_requests_a_minute(hub: TestHub) -> None:
    answers = [await ask(hub.nobody, "192.0.2.7") for _ in range(4)]

    assert [answer.status for answer in answers] == [404, 404, 404, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    reset = int(answers[0].headers["X-RateLimit-Reset"])
    assert reset % 60 == 0
    assert 0 < reset - hub.hub.now().timestamp() <= 60
    assert answers[3].value["message"] == "API rate limit exceeded for IP 192.0.2.7"
    assert "Retry-After" not in answers[3].headers
    assert (await ask(hub.nobody, "192.0.2.8")).status == 404, "another address is not limited"

    hub.clock.ahead += timedelta(minutes=1)
    assert (await ask(hub.nobody, "192.0.2.7")).status == 404, "a new minute has begun"


async def test_users_and_organizations_are_counted_wherever_they_are(hub: TestHub) -> None:
    mara = await hub.user("mara")
    await hub.organization("forest", mara)
    forest = await hub.key("forest", "api", organization=True)

    of_mara = [await ask(mara, f"192.0.2.{n}") for n in range(6)]
    of_forest = [await ask(forest, f"192.0.2.{n}") for n in range(5)]

    assert [answer.status for answer in of_mara] == [404] * 5 + [429]
    assert of_mara[5].value["message"] == "API rate limit exceeded for user mara"
    assert [answer.status for answer in of_forest] == [404] * 4 + [429]
    assert of_forest[4].value["message"] == "API rate limit exceeded for organization forest"


async def test_a_group_of_routes_has_a_count_of_its_own(tmp_path: Path) -> None:
    limits = "ip=3 auth.ip=1 publish.user=1 write.user=2"
    async with hubs.running(tmp_path, behind_proxy="127.0.0.1", rate_limits=limits) as hub:
        at = hub.hub.now()
        hub.clock.ahead = timedelta(seconds=(70 - at.second) % 60)
        mara = await hub.user("mara")

        first = await hub.nobody.post("/api/oauth/revoke", {"token": "x"}, headers=FROM)
        second = await hub.nobody.post("/api/users/mara/reset", headers=FROM)
        read = await ask(hub.nobody, "192.0.2.7")
        published = [await mara.publish(b"no tarball") for _ in range(2)]
        written = [await mara.delete("/api/packages/acorn/owners/x") for _ in range(3)]
        read_by_mara = await mara.get("/api/packages/acorn")

    assert first.headers["X-RateLimit-Limit"] == "1"
    assert second.status == 429
    assert second.value["message"] == "API rate limit exceeded for IP 192.0.2.7"
    assert (read.status, read.headers["X-RateLimit-Remaining"]) == (404, "2")
    assert published[0].status not in (401, 429)
    assert published[1].status == 429
    assert [answer.status for answer in written] == [404, 404, 429]
    assert read_by_mara.headers["X-RateLimit-Remaining"] == "499"


def test_every_route_of_the_api_is_in_a_group_that_fits() -> None:
    groups = {
        f"{route.method} {route.pattern}": route.group
        for route in app.router(Metrics()).routes
        if route.pattern.startswith("/api/")
    }

    assert {name for name, group in groups.items() if group == "publish"} == {
        f"POST /api{repository}{path}"
        for repository in ("", "/repos/{repository}")
        for path in (
            "/publish",
            "/packages/{name}/releases",
            "/packages/{name}/releases/{version}/docs",
        )
    }
    assert {name for name, group in groups.items() if group == "auth"} == {
        "GET /api/auth",
        "POST /api/oauth/device_authorization",
        "POST /api/oauth/token",
        "POST /api/oauth/revoke",
        "POST /api/oauth/revoke_by_hash",
        "POST /api/users",
        "POST /api/users/{who}/reset",
        "GET /api/users/{who}/test",
        "POST /api/keys",
        "POST /api/orgs/{organization}/keys",
    }
    for name, group in groups.items():
        if group in ("read", "write"):
            assert name.startswith("GET ") == (group == "read"), name


async def test_what_never_reaches_a_route_is_not_counted(hub: TestHub) -> None:
    ip = {"X-Forwarded-For": "192.0.2.7"}
    for _ in range(5):
        assert (await hub.nobody.request("GET", "/api/nowhere/at/all", headers=ip)).status == 404
        assert (await hub.nobody.request("GET", "/api", headers=ip)).status == 200
        bad = Person(hub, None, "no such key")
        answer = await bad.request("GET", "/api/packages", headers=ip)
        assert answer.status == 401
        assert "X-RateLimit-Limit" not in answer.headers
        html = ip | {"Accept": "text/html"}
        assert (await hub.nobody.request("GET", "/api/packages", headers=html)).status == 406

    assert (await ask(hub.nobody, "192.0.2.7")).headers["X-RateLimit-Remaining"] == "2"


async def test_a_subscriber_of_ipv6_is_one_caller(hub: TestHub) -> None:
    answers = [await ask(hub.nobody, f"2001:db8:1:2::{n}") for n in range(4)]
    assert [answer.status for answer in answers] == [404, 404, 404, 429]
    assert (await ask(hub.nobody, "2001:db8:1:3::1")).status == 404


async def test_only_the_named_proxy_is_believed(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, behind_proxy="192.0.2.1", rate_limits="ip=2") as hub:
        answers = [await ask(hub.nobody, f"198.51.100.{n}") for n in range(3)]
    assert answers[2].value["message"] == "API rate limit exceeded for IP 127.0.0.1"


async def test_what_a_client_writes_itself_is_not_believed(hub: TestHub) -> None:
    chains = ["203.0.113.1, 192.0.2.7", "203.0.113.2,192.0.2.7", "x, 192.0.2.7", "192.0.2.7"]
    answers = [await ask(hub.nobody, chain) for chain in chains]
    assert answers[3].value["message"] == "API rate limit exceeded for IP 192.0.2.7"


async def test_without_a_proxy_this_machine_is_not_limited(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, rate_limits="ip=1") as hub:
        for _ in range(3):
            answer = await ask(hub.nobody, "192.0.2.7")
            assert answer.status == 404
            assert "X-RateLimit-Limit" not in answer.headers


async def test_limits_can_be_switched_off(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, behind_proxy="127.0.0.1", rate_limits="false") as hub:
        answer = await ask(hub.nobody, "192.0.2.7")
        assert "X-RateLimit-Limit" not in answer.headers


async def test_a_blocked_network_gets_nothing(hub: TestHub) -> None:
    await hub.hub.store.transact(
        networks.put, OPERATOR, "198.51.100.7/24", "blocked", "a scanner", hub.hub.now()
    )
    for path in ("/api/packages", "/", "/repo/public_key", "/health"):
        answer = await ask(hub.nobody, "198.51.100.200", path)
        assert answer.status == 403, path
        assert b"Blocked" in answer.body
    assert (await ask(hub.nobody, "198.51.101.1", "/api/packages")).status == 200

    await hub.hub.store.transact(networks.forget, OPERATOR, "198.51.100.0/24", hub.hub.now())
    assert (await ask(hub.nobody, "198.51.100.200", "/api/packages")).status == 200


async def test_a_network_can_be_freed_of_limits(hub: TestHub) -> None:
    await hub.hub.store.transact(
        networks.put, OPERATOR, "192.0.2.0/24", "unlimited", "our build farm", hub.hub.now()
    )
    answers = [await ask(hub.nobody, "192.0.2.7") for _ in range(6)]
    assert {answer.status for answer in answers} == {404}


async def test_rebar3_takes_no_429_for_a_success(hub: TestHub) -> None:
    mara = await hub.user("mara")
    agent = "hex_core/0.7.1 (httpc) (OTP/25) (erts/13.1)"
    for _ in range(5):
        await ask(mara, "192.0.2.7")

    answer = await mara.post(
        "/api/publish", data=b"x", headers={"X-Forwarded-For": "192.0.2.7", "User-Agent": agent}
    )

    assert answer.status == 500
    assert answer.value["message"] == "API rate limit exceeded for user mara"
