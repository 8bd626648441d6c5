"""The cluster's routes on the public face: who may see what, and who may change it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cluster import View
from hexhub.domain import blank
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package

KEYS = {
    "node",
    "cluster",
    "role",
    "leader",
    "term",
    "quorum",
    "applied",
    "commit",
    "members",
    "blobs_behind",
}


@pytest.fixture
async def admin(hub: TestHub) -> Person:
    return await hub.user("ada", admin=True)


async def test_anybody_sees_the_state_without_versions_addresses_and_disks(hub: TestHub) -> None:
    answer = await hub.nobody.get("/api/cluster/status")
    assert answer.status == 200
    assert set(answer.value) == KEYS
    (member,) = answer.value["members"]
    assert set(member) == {"name", "role", "reachable", "applied", "lag"}
    assert (answer.value["role"], answer.value["leader"]) == ("leader", "hex_hub1")


async def test_an_administrator_sees_them(hub: TestHub, admin: Person, mara: Person) -> None:
    assert set((await mara.get("/api/cluster/status")).value) == KEYS
    seen = (await admin.get("/api/cluster/status")).value
    assert {"version", "disk_free"} <= set(seen)


@pytest.mark.parametrize("path", ["/api/cluster/join", "/api/cluster/leave"])
async def test_only_an_administrator_changes_the_cluster(
    hub: TestHub, admin: Person, mara: Person, path: str
) -> None:
    assert (await hub.nobody.post(path)).status == 401
    assert (await mara.post(path)).status == 403
    reader = await hub.key("ada", "api:read")
    assert (await reader.post(path)).status == 401


async def test_a_node_with_data_is_told_what_joining_would_throw_away(admin: Person) -> None:
    answer = await admin.post("/api/cluster/join", {"target": "b@127.0.0.1:1"})
    assert answer.status == 409
    assert "--force --discard hex_hub1" in answer.value["message"]


async def test_what_is_discarded_must_be_this_nodes(admin: Person) -> None:
    wrong = {"target": "b@127.0.0.1:1", "discard": "b"}
    answer = await admin.post("/api/cluster/join", wrong)
    assert answer.status == 422
    assert set(answer.errors) == {"discard"}


@pytest.mark.parametrize("target", [None, 7, "", "b", "b@h:0"])
async def test_a_target_that_is_no_address_is_refused(admin: Person, target: object) -> None:
    answer = await admin.post("/api/cluster/join", {"target": target, "discard": "hex_hub1"})
    assert answer.status == 422
    assert set(answer.errors) == {"target"}


async def test_a_node_cannot_join_its_own_name(admin: Person) -> None:
    own = {"target": "hex_hub1@127.0.0.1:1", "discard": "hex_hub1"}
    assert (await admin.post("/api/cluster/join", own)).status == 409


async def test_a_lone_node_has_nothing_to_leave(admin: Person) -> None:
    answer = await admin.post("/api/cluster/leave")
    assert answer.status == 409
    assert "only member" in answer.value["message"]


@pytest.mark.parametrize(
    ("agent", "status"), [("Hex/2.1.1", 503), ("hex_core/0.10.1 (httpc) (OTP/25)", 500)]
)
async def test_when_too_many_writes_wait_the_next_is_told_at_once(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch, agent: str, status: int
) -> None:
    """rebar3 would print a 503 as success (http-api.md §6)."""
    before = hub.hub.store.applied
    monkeypatch.setattr("cluster.store.QUEUE_ITEMS_MAX", 0)
    headers = {"user-agent": agent}
    answer = await mara.post("/api/publish", data=package("waits"), headers=headers)
    assert answer.status == status
    assert int(answer.headers["Retry-After"]) > 0
    assert hub.hub.store.applied == before


async def test_clients_that_would_wait_for_ever_are_told_to_give_up_when_a_trouble_lasts(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erlang's HTTP client repeats by itself what is to be tried again within 100 s."""
    monkeypatch.setattr("cluster.store.QUEUE_ITEMS_MAX", 0)
    told = []
    for moment in (0, 12, 24, 26, 60):  # nobody asks from 26 to 60: that was one trouble
        hub.clock.ahead = timedelta(seconds=moment)
        answer = await mara.post("/api/publish", data=package("waits"))
        told.append(int(answer.headers["Retry-After"]) < 100)
    assert told == [True, True, False, False, True]


async def test_a_node_is_blank_until_a_person_made_something(hub: TestHub) -> None:
    def is_blank() -> bool:
        view: View
        with hub.hub.store.view() as view:
            return blank.is_blank(view)

    assert is_blank()
    await hub.user("ada")
    assert not is_blank()
