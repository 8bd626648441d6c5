"""Dependency policies: edited by the API, signed by the repository."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hexhub.formats import registry, signing_key
from tests.hexhub.hubs import Answer, Person, TestHub

PATH = "/api/orgs/forest/policies/strict"
POLICY: dict[str, Any] = {
    "description": "What may be used",
    "visibility": "private",
    "repositories": [
        {
            "repository": "hexpm",
            "advisory_min_severity": "high",
            "retirement_reasons": ["security", "invalid"],
            "cooldown": "7d",
            "overrides": [
                {"action": "allow", "package": "acorn", "requirement": "~> 1.0"},
                {"action": "cooldown", "package": "oak", "requirement": None},
            ],
        },
        {"repository": "forest"},
    ],
}


@pytest.fixture
async def forest(hub: TestHub, mara: Person) -> Person:
    """The administrator of an organization in which olaf may write."""
    await hub.user("olaf")
    await hub.organization("forest", mara, olaf="write")
    return mara


async def read(hub: TestHub, who: Person, base: str = "/repos/forest") -> registry.Policy:
    answer = await who.get(f"{base}/policies/strict")
    assert answer.status == 200, answer.body
    key = signing_key.load_public_key((await hub.nobody.get("/public_key")).body)
    return registry.decode_policy(registry.unseal(answer.body, key, size_max=1_000_000))


async def test_a_policy_is_made_shown_and_signed(hub: TestHub, forest: Person) -> None:
    made = await forest.put(PATH, POLICY)

    assert made.status == 201
    assert made.headers["Location"] == PATH
    assert (await forest.get(PATH)).value["repositories"][0]["cooldown"] == "7d"
    assert [row["name"] for row in (await forest.get("/api/orgs/forest/policies")).value] == [
        "strict"
    ]
    for base in ("/repos/forest", "/repo/repos/forest"):
        policy = await read(hub, forest, base)
        assert (policy.repository, policy.name, policy.visibility) == ("forest", "strict", 0)
        assert policy.description == "What may be used"
        of_hexpm, of_forest = policy.repositories
        assert of_hexpm.restriction == registry.Restriction(
            advisory_min_severity=registry.Severity.HIGH,
            retirement_reasons=(
                registry.RetirementReason.INVALID,
                registry.RetirementReason.SECURITY,
            ),
            cooldown="7d",
        )
        assert of_hexpm.overrides == (
            registry.Override(registry.OverrideAction.ALLOW, "acorn", "~> 1.0"),
            registry.Override(registry.OverrideAction.COOLDOWN, "oak"),
        )
        assert of_forest.restriction is None


async def test_a_change_is_signed_at_once_and_a_deleted_one_is_gone(
    hub: TestHub, forest: Person
) -> None:
    await forest.put(PATH, POLICY)
    assert (await read(hub, forest)).description == "What may be used"

    changed = await forest.put(PATH, POLICY | {"description": None})
    assert changed.status == 200
    assert (await read(hub, forest)).description is None

    assert (await forest.delete(PATH)).status == 204
    assert (await forest.get("/repos/forest/policies/strict")).status == 404
    assert (await forest.get(PATH)).status == 404
    assert (await forest.delete(PATH)).status == 404
    log = (await forest.get("/api/orgs/forest/audit-logs")).value
    assert [entry["action"] for entry in log[:3]] == [
        "policy.delete",
        "policy.update",
        "policy.create",
    ]


async def test_who_may_read_and_change_policies(hub: TestHub, forest: Person) -> None:
    olaf = await hub.key("olaf", "api", "repositories")
    vera = await hub.user("vera")
    await forest.put(PATH, POLICY)

    assert (await olaf.get(PATH)).status == 200
    assert (await olaf.put(PATH, POLICY)).status == 404
    assert (await olaf.delete(PATH)).status == 404
    assert (await olaf.get("/repos/forest/policies/strict")).status == 200
    for stranger in (vera, hub.nobody):
        assert (await stranger.get(PATH)).status == 404
        assert (await stranger.get("/repos/forest/policies/strict")).status == 404

    public = POLICY | {"visibility": "public", "repositories": POLICY["repositories"][:1]}
    await forest.put(PATH, public)
    answer = await hub.nobody.get("/repos/forest/policies/strict")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    again = await hub.nobody.get(
        "/repos/forest/policies/strict", If_None_Match=answer.headers["ETag"]
    )
    assert again.status == 304


def rules(**changed: Any) -> dict[str, Any]:
    return {"repositories": [{"repository": "hexpm"} | changed]}


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({"description": 7}, {"description": "expected type string"}),
        ({"description": "x" * 501}, {"description": "should be at most 500 character(s)"}),
        ({"visibility": "secret"}, {"visibility": "is invalid"}),
        ({"repositories": "hexpm"}, {"repositories": "expected type list(map)"}),
        (
            {"repositories": [{"repository": "coast"}]},
            {"repositories": {"repository": "must be hexpm or forest"}},
        ),
        (
            {"visibility": "public", "repositories": [{"repository": "forest"}]},
            {"repositories": {"repository": "must be hexpm"}},
        ),
        (
            {"repositories": [{"repository": "hexpm"}, {"repository": "hexpm"}]},
            {"repositories": {"repository": "has already been taken"}},
        ),
        (
            rules(advisory_min_severity="awful"),
            {"repositories": {"advisory_min_severity": "is invalid"}},
        ),
        (
            rules(cooldown="7 days"),
            {"repositories": {"cooldown": "must be 0, or a number and d, w or mo"}},
        ),
        (
            rules(overrides=[{"action": "maybe", "package": "X", "requirement": "?"}]),
            {
                "repositories": {
                    "overrides": {
                        "action": "is invalid",
                        "package": "should be at least 2 character(s)",
                        "requirement": "is invalid",
                    }
                }
            },
        ),
    ],
)
async def test_what_is_wrong_with_a_policy(
    forest: Person, given: dict[str, Any], errors: dict[str, Any]
) -> None:
    answer = await forest.put(PATH, given)

    assert answer.status == 422
    assert answer.errors == errors


@pytest.mark.parametrize("name", ["new", "ab", "Strict", "-strict", "strict-", "a" * 65])
async def test_bad_names_are_refused(forest: Person, name: str) -> None:
    answer = await forest.put(f"/api/orgs/forest/policies/{name}", {})
    assert answer.status == 422
    assert set(answer.errors) == {"name"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    field=st.sampled_from(
        ["repository", "advisory_min_severity", "retirement_reasons", "cooldown", "overrides"]
    ),
    outer=st.sampled_from(["description", "visibility", "repositories"]),
    value=anything,
)
async def test_wrong_types_are_answered_with_a_map(
    forest: Person, field: str, outer: str, value: Any
) -> None:
    def fine(answer: Answer) -> bool:
        if answer.status == 422:
            return isinstance(answer.errors, dict)
        return answer.status in (200, 201)

    assert fine(await forest.put(PATH, rules(**{field: value})))
    assert fine(await forest.put(PATH, {outer: value}))
