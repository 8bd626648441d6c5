"""Organizations, their members and their repositories."""

from __future__ import annotations

import pytest

from hexhub.domain import mails
from tests.end_to_end.packages import tarball
from tests.hexhub.hubs import Person, TestHub

ACORN = tarball("acorn", "1.0.0", {"src/acorn.erl": b"-module(acorn).\n"})


@pytest.fixture
async def forest(hub: TestHub, mara: Person) -> str:
    """An organization of which mara is the administrator and olaf may read."""
    await hub.user("olaf")
    await hub.organization("forest", mara, olaf="read")
    return "forest"


async def test_everyone_sees_their_own_organizations(
    hub: TestHub, mara: Person, forest: str
) -> None:
    await hub.organization("coast", mara)
    key = await hub.key("forest", "api", organization=True)

    assert [org["name"] for org in (await mara.get("/api/orgs")).value] == ["coast", "forest"]
    assert [org["name"] for org in (await key.get("/api/orgs")).value] == ["forest"]
    assert (await hub.nobody.get("/api/orgs")).value == []
    shown = (await mara.get("/api/orgs/forest")).value
    assert shown["billing_active"] is True
    assert shown["seats"] is None


async def test_a_hidden_organization_is_like_one_that_does_not_exist(
    hub: TestHub, mara: Person, forest: str
) -> None:
    vera = await hub.user("vera")
    paths = (
        "/api/orgs/{}",
        "/api/orgs/{}/members",
        "/api/orgs/{}/members/mara",
        "/api/orgs/{}/audit-logs",
        "/api/orgs/{}/keys",
        "/api/repos/{}",
        "/api/repos/{}/packages",
        "/api/repos/{}/packages/acorn",
    )
    for person in (vera, hub.nobody):
        for path in paths:
            hidden = await person.get(path.format("forest"))
            absent = await person.get(path.format("nowhere"))
            assert (hidden.status, hidden.body) == (absent.status, absent.body), path
            assert hidden.status in (401, 404)


async def test_a_member_is_added_shown_and_told(hub: TestHub, mara: Person, forest: str) -> None:
    await hub.user("vera")

    added = await mara.post("/api/orgs/forest/members", {"name": "vera", "role": "write"})

    assert added.status == 200
    assert added.headers["Location"] == "/api/orgs/forest/members/vera"
    assert added.value["role"] == "write"
    assert "packages" not in added.value
    listed = (await mara.get("/api/orgs/forest/members")).value
    assert [(one["username"], one["role"]) for one in listed] == [
        ("mara", "admin"),
        ("olaf", "read"),
        ("vera", "write"),
    ]
    assert (await mara.get("/api/orgs/forest/members/vera")).value["role"] == "write"
    assert (await mara.get("/api/orgs/forest/members/nobody")).status == 404
    with hub.hub.store.view() as view:
        assert mails.newest(view, 1)[0].template == "member_added"


async def test_a_role_may_arrive_as_an_atom(hub: TestHub, mara: Person, forest: str) -> None:
    await hub.user("vera")
    # {name => <<"vera">>, role => admin}, the role an atom (http-api.md §1.5)
    body = bytes.fromhex("837400000002") + (
        b"m\x00\x00\x00\x04namem\x00\x00\x00\x04vera" + b"m\x00\x00\x00\x04rolew\x05admin"
    )

    added = await mara.post(
        "/api/orgs/forest/members",
        data=body,
        headers={"Content-Type": "application/vnd.hex+erlang"},
    )

    assert added.status == 200, added.body
    assert added.value["role"] == "admin"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"name": "nobody", "role": "read"}, {"name": "unknown user"}),
        ({"role": "read"}, {"name": "unknown user"}),
        ({"name": ["vera"], "role": "read"}, {"name": "unknown user"}),
        ({"name": "olaf", "role": "read"}, {"user_id": "is already member"}),
        ({"name": "vera"}, {"role": "can't be blank"}),
        ({"name": "vera", "role": "owner"}, {"role": "is invalid"}),
        ({"name": "vera", "role": 7}, {"role": "expected type string"}),
        (
            {"name": "coast", "role": "read"},
            "cannot add an organization as member to an organization",
        ),
    ],
)
async def test_what_is_wrong_with_a_new_member(
    hub: TestHub, mara: Person, forest: str, body: object, errors: object
) -> None:
    await hub.user("vera")
    await hub.organization("coast", mara)

    answer = await mara.post("/api/orgs/forest/members", body)

    assert answer.status == 422
    assert answer.errors == errors


async def test_seats_bound_the_members(hub: TestHub, mara: Person, forest: str) -> None:
    await hub.user("vera")
    for seats in (1, "1", "two", None, True, 1.5, [3]):
        answer = await mara.post("/api/orgs/forest", {"seats": seats})
        assert answer.status == 422, seats
        assert answer.errors == "number of seats cannot be less than number of members"

    assert (await mara.post("/api/orgs/forest", {"seats": "2"})).value["seats"] == 2
    full = await mara.post("/api/orgs/forest/members", {"name": "vera", "role": "read"})
    assert full.status == 422
    assert full.errors == "not enough seats to add member"
    assert (await mara.post("/api/orgs/forest", {"seats": 3})).value["seats"] == 3
    added = await mara.post("/api/orgs/forest/members", {"name": "vera", "role": "read"})
    assert added.status == 200


async def test_roles_change(hub: TestHub, mara: Person, forest: str) -> None:
    path = "/api/orgs/forest/members"
    assert (await mara.post(f"{path}/olaf", {"role": "write"})).value["role"] == "write"
    assert (await mara.post(f"{path}/nobody", {"role": "write"})).status == 404
    vera = await hub.user("vera")
    not_member = await mara.post(f"{path}/vera", {"role": "write"})
    assert (not_member.status, not_member.errors) == (422, "unknown_user")
    for role in ("read", "admin"):
        last = await mara.post(f"{path}/mara", {"role": role})
        assert (last.status, last.errors) == (422, "cannot demote last admin member")
    assert (await mara.post(f"{path}/olaf", {"role": "king"})).errors == {"role": "is invalid"}
    assert (await vera.post(f"{path}/olaf", {"role": "admin"})).status == 404


async def test_only_administrators_manage_members(hub: TestHub, mara: Person, forest: str) -> None:
    await hub.user("vera")
    olaf = await hub.key("olaf", "api")
    await mara.post("/api/orgs/forest/members/olaf", {"role": "write"})
    for person in (olaf, hub.nobody):
        body = {"name": "vera", "role": "read"}
        assert (await person.post("/api/orgs/forest/members", body)).status == 404
        assert (await person.post("/api/orgs/forest/members/olaf", {"role": "admin"})).status == 404
        assert (await person.delete("/api/orgs/forest/members/mara")).status == 404
        assert (await person.post("/api/orgs/forest", {"seats": 9})).status == 404


async def test_a_removed_member_loses_everything_at_once(
    hub: TestHub, mara: Person, forest: str
) -> None:
    olaf = await hub.key("olaf", "api", "repository:forest")
    await mara.publish(ACORN, repository="forest")
    await mara.put("/api/repos/forest/packages/acorn/owners/olaf", {"level": "maintainer"})
    assert (await olaf.get("/repos/forest/packages/acorn")).status == 200

    assert (await mara.delete("/api/orgs/forest/members/olaf")).status == 204

    assert (await olaf.get("/repos/forest/packages/acorn")).status == 404
    assert (await olaf.get("/api/repos/forest/packages/acorn")).status == 404
    owners = (await mara.get("/api/repos/forest/packages/acorn/owners")).value
    assert [owner["username"] for owner in owners] == []
    assert (await mara.delete("/api/orgs/forest/members/olaf")).status == 422, "the last one"
    assert (await mara.delete("/api/orgs/forest/members/nobody")).status == 204
    last = await mara.delete("/api/orgs/forest/members/mara")
    assert (last.status, last.errors) == (422, "cannot remove last member")


async def test_changes_of_members_are_in_the_log(hub: TestHub, mara: Person, forest: str) -> None:
    await mara.post("/api/orgs/forest/members/olaf", {"role": "write"})
    await mara.delete("/api/orgs/forest/members/olaf")

    entries = (await mara.get("/api/orgs/forest/audit-logs")).value

    assert [entry["action"] for entry in entries[:2]] == [
        "organization.member.remove",
        "organization.member.role",
    ]
    assert entries[1]["params"]["role"] == "write"
    assert entries[1]["params"]["user"]["username"] == "olaf"
    assert entries[1]["params"]["organization"]["name"] == "forest"


async def test_repositories_are_the_public_one_and_the_callers(
    hub: TestHub, mara: Person, forest: str
) -> None:
    assert [repo["name"] for repo in (await mara.get("/api/repos")).value] == ["hexpm", "forest"]
    anonymous = await hub.nobody.get("/api/repos")
    assert anonymous.value == [{"name": "hexpm", "inserted_at": None, "updated_at": None}]
    assert anonymous.headers["Cache-Control"] == "public, max-age=60"
    assert (await hub.nobody.get("/api/repos/hexpm")).value["name"] == "hexpm"
    assert (await mara.get("/api/repos/forest")).value["name"] == "forest"
