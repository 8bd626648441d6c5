"""What is hidden takes the same work to refuse as what is not there, so that no clock tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster import View
from hexhub.passwords import Passwords
from hexhub.storage.local import LocalStorage
from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import docs, package

PATHS = (
    ("GET", "/api/orgs/{}"),
    ("GET", "/api/orgs/{}/members"),
    ("GET", "/api/orgs/{}/members/mara"),
    ("GET", "/api/orgs/{}/audit-logs"),
    ("GET", "/api/orgs/{}/keys"),
    ("GET", "/api/orgs/{}/policies"),
    ("GET", "/api/repos/{}"),
    ("GET", "/api/repos/{}/packages"),
    ("GET", "/api/repos/{}/packages/acorn"),
    ("GET", "/api/repos/{}/packages/acorn/owners"),
    ("GET", "/api/repos/{}/packages/acorn/releases/1.0.0"),
    ("GET", "/api/repos/{}/packages/acorn/releases/1.0.0/docs"),
    ("POST", "/api/orgs/{}/members"),
    ("POST", "/api/orgs/{}/keys"),
    ("PUT", "/api/repos/{}/packages/acorn/owners/vera"),
    ("GET", "/repo/repos/{}/names"),
    ("GET", "/repo/repos/{}/packages/acorn"),
    ("GET", "/repo/repos/{}/tarballs/acorn-1.0.0.tar"),
    ("GET", "/repo/repos/{}/docs/acorn-1.0.0.tar.gz"),
    ("DELETE", "/api/repos/{}/packages/acorn/releases/1.0.0"),
)
"""In an order in which the owner may ask for each as well."""

Work = list[tuple[str, ...]]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Everything dear that was done since it was last cleared, in order, without what it was about."""
    done: Work = []

    def noted(owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def noting(self: object, *args: Any, **more: Any) -> Any:
            about = args[0].__name__ if args and isinstance(args[0], type) else ""
            done.append((owner.__name__, name, about))
            return original(self, *args, **more)

        monkeypatch.setattr(owner, name, noting)

    for name in ("get", "scan", "find", "count"):
        noted(View, name)
    for name in ("hash", "matches"):
        noted(Passwords, name)
    noted(LocalStorage, "open")
    return done


async def _work_of(person: Person, method: str, path: str, work: Work) -> tuple[int, Work]:
    """The status of the answer and the work that went into it."""
    work.clear()
    headers = {"Accept": ERLANG} if path.startswith("/api/") else {}
    answer = await person.request(method, path, headers=headers)
    return answer.status, list(work)


async def test_a_hidden_organization_costs_what_an_unknown_one_costs(
    hub: TestHub, mara: Person, work: Work
) -> None:
    await hub.organization("forest", mara)
    assert (await mara.publish(package("acorn"), repository="forest")).status == 201
    archive = "/api/repos/forest/packages/acorn/releases/1.0.0/docs"
    assert (await mara.post(archive, data=docs("hidden"))).status == 201
    vera = await hub.user("vera")
    await hub.organization("coast", vera)
    strangers = (vera, await hub.key("coast", "api", "repositories", organization=True), hub.nobody)

    for method, path in PATHS:
        for person in strangers:
            about = f"{method} {path} by {person.name}"
            await person.request(method, path.format("forest"))  # what is read once is read now
            hidden = await _work_of(person, method, path.format("forest"), work)
            absent = await _work_of(person, method, path.format("nowhere"), work)

            assert hidden[0] in (401, 404), about
            assert hidden == absent, about
            assert not any(owner in ("Passwords", "LocalStorage") for owner, _, _ in hidden[1])
        seen = await _work_of(mara, method, path.format("forest"), work)
        assert seen[0] < 404 or seen[0] == 422, f"{method} {path} is a way to what is hidden"
        assert seen[1] != hidden[1]


async def test_a_hidden_package_costs_what_an_unknown_one_costs(
    hub: TestHub, mara: Person, work: Work
) -> None:
    await hub.organization("forest", mara)
    assert (await mara.publish(package("acorn"), repository="forest")).status == 201
    vera = await hub.user("vera")

    for person in (vera, hub.nobody):
        for path in ("/api/packages/{}", "/api/repos/forest/packages/{}", "/packages/{}"):
            await person.get(path.format("acorn"))
            hidden = await _work_of(person, "GET", path.format("acorn"), work)
            absent = await _work_of(person, "GET", path.format("beech"), work)

            assert hidden[0] == 404, path
            assert hidden == absent, path


async def test_publishing_into_a_hidden_repository_costs_what_an_unknown_one_costs(
    hub: TestHub, mara: Person, work: Work
) -> None:
    await hub.organization("forest", mara)
    assert (await mara.publish(package("acorn"), repository="forest")).status == 201
    vera = await hub.user("vera")

    for name in ("acorn", "beech"):
        tried = []
        for repository in ("forest", "forest", "nowhere"):
            work.clear()
            answer = await vera.publish(package(name), repository=repository)
            tried.append((answer.status, list(work)))

        assert tried[0][0] == 404
        assert tried[1] == tried[2], name
