"""What nobody in particular may see, with ANONYMOUS_READ in each of its modes (design §9).

Each test walks the whole table of routes, so that a new one is closed unless it is named here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hexhub import app
from hexhub.http.metrics import Metrics
from hexhub.http.routes import Route
from tests.hexhub import hubs
from tests.hexhub.hubs import ERLANG, Answer, Person, TestHub
from tests.hexhub.packages import docs, package

SECRET_TEXT = "quokkas live on an island"
PUBLIC_PACKAGE, PRIVATE_PACKAGE = "quokka", "wombat"

OPEN = re.compile(
    r"/(repo/)?(repos/\{repository\}/)?public_key"
    r"|/(repo/)?installs/.*"
    r"|/health.*|/status|/metrics|/api/cluster/status"
    r"|/first-run|/login.*|/logout|/password/.*|/email/verify"
    r"|(/api)?/oauth/.*|/api/openapi.*"
    r"|(/api)?/auth|(/api)?/users|(/api)?/users/\{who\}/reset"
    r"|/assets/.*|/favicon.ico|/robots.txt|/hexsearch.xml|/theme|/help.*|/l/.*"
    r"|/\{path\*\}"
)
"""What is answered without credentials in every mode; none of it may tell of packages."""

VALUES = {
    "name": PUBLIC_PACKAGE,
    "version": "1.0.0",
    "who": "mara",
    "key": "test",
    "organization": "forest",
    "range": "1.0.0..1.0.0",
    "rest": "index.html",
    "path": PUBLIC_PACKAGE,
}


@pytest.fixture(params=["true", "mirror", "false"])
def mode(request: pytest.FixtureRequest) -> str:
    """A value of ANONYMOUS_READ."""
    return str(request.param)


@pytest.fixture
async def closed_hub(tmp_path: Path, mode: str) -> AsyncIterator[TestHub]:
    """A hub in this mode with a public and a private package, which both have docs."""
    async with hubs.running(tmp_path, anonymous_read=mode) as hub:
        mara = await hub.user("mara")
        await hub.organization("forest", mara)
        for name, repository in ((PUBLIC_PACKAGE, None), (PRIVATE_PACKAGE, "forest")):
            body = package(name, description=f"{name}: {SECRET_TEXT}")
            assert (await mara.publish(body, repository=repository)).status == 201
            prefix = f"/api/repos/{repository}" if repository else "/api"
            path = f"{prefix}/packages/{name}/releases/1.0.0/docs"
            assert (await mara.post(path, data=docs(f"{name}: {SECRET_TEXT}"))).status == 201
        yield hub
        assert not hub.faults, hub.faults[0]


def _paths(route: Route) -> list[str]:
    """The route's path with what exists here, for each repository that it may mean."""
    repositories = ["hexpm", "forest"] if "{repository}" in route.pattern else [""]
    return [_path(route.pattern, repository) for repository in repositories]


def _path(pattern: str, repository: str) -> str:
    name = PRIVATE_PACKAGE if repository == "forest" else PUBLIC_PACKAGE
    values = VALUES | {"repository": repository, "name": name}
    if "{file" in pattern:
        values["file"] = {
            "tarballs": f"{name}-1.0.0.tar",
            "docs": f"{name}-1.0.0.tar.gz",
            "badges": f"{name}.svg",
            "packages": f"{name}.xml",
        }.get(pattern.split("/{file")[0].rpartition("/")[2], "hex-1.x.csv")
    return re.sub(r"\{(\w+)\*?\}", lambda match: values.get(match[1], "x"), pattern)


def _leaks(answer: Answer, secrets: tuple[bytes, ...]) -> bool:
    said = answer.body + str(sorted(answer.headers.items())).encode()
    return any(secret in said for secret in secrets)


def _secrets(name: str) -> tuple[bytes, ...]:
    text = f"{name}: {SECRET_TEXT}"
    tarball = package(name, description=text)
    return (
        text.encode(),
        hashlib.sha256(tarball).hexdigest().encode(),
        tarball,
        docs(text),
    )


ACCEPTS: tuple[dict[str, str], ...] = (
    {},
    {"Accept": "application/json"},
    {"Accept": ERLANG},
    {"Accept": "text/html"},
)


async def test_nobody_learns_what_the_mode_does_not_show(closed_hub: TestHub, mode: str) -> None:
    """Nothing of a private package in any mode, and nothing of ours unless everything is open."""
    hidden = _secrets(PRIVATE_PACKAGE)
    if mode != "true":
        hidden += _secrets(PUBLIC_PACKAGE)
    leaks = []
    for route in app.router(Metrics()).routes:
        if route.method != "GET":
            continue
        for path in _paths(route):
            for accept in ACCEPTS:
                answer = await closed_hub.nobody.request("GET", path, headers=accept)
                if _leaks(answer, hidden):
                    leaks.append((path, accept, answer.status))
    assert leaks == []


@pytest.mark.parametrize("mode", ["mirror", "false"])
async def test_everything_that_is_not_open_is_refused(closed_hub: TestHub, mode: str) -> None:
    answered = []
    for route in app.router(Metrics()).routes:
        # With `mirror` pages are there, for the upstream's packages; that ours are not on them is
        # for the test above.
        page = mode == "mirror" and route.allow.name == "who may read here"
        if OPEN.fullmatch(route.pattern) or page:
            continue
        for path in _paths(route):
            answer = await closed_hub.nobody.request(route.method, path)
            if not _is_refused(route, answer):
                answered.append((route.method, path, answer.status))
    assert answered == []


def _is_refused(route: Route, answer: Answer) -> bool:
    """401 on the API, 404 on repository paths, and elsewhere these or the way to sign in."""
    if route.pattern.startswith("/api"):
        return answer.status in (401, 404)
    if re.match(r"/(repo/|names|versions|tarballs)", route.pattern):
        return answer.status == 404
    if answer.status in (302, 303):
        return "/login" in answer.headers.get("Location", "")
    return answer.status in (400, 401, 403, 404, 415)


async def test_nobody_changes_anything(closed_hub: TestHub) -> None:
    """Also where all may read. What makes sign-ins and mails for a person is for that."""
    before = closed_hub.hub.store.applied, closed_hub.traces()
    for route in app.router(Metrics()).routes:
        if route.method == "GET" or OPEN.fullmatch(route.pattern):
            continue
        for path in _paths(route):
            answer = await closed_hub.nobody.request(route.method, path, json={})
            assert answer.status in (302, 303, 400, 401, 403, 404, 422), path
    assert (closed_hub.hub.store.applied, closed_hub.traces()) == before


async def test_the_api_says_401_and_the_repository_404(closed_hub: TestHub, mode: str) -> None:
    nobody = closed_hub.nobody
    api = {
        "/api": 200,
        "/api/packages": 200,
        f"/api/packages/{PUBLIC_PACKAGE}": 200,
        f"/api/packages/{PUBLIC_PACKAGE}/releases/1.0.0": 200,
        f"/api/packages/{PUBLIC_PACKAGE}/owners": 200,
        "/api/users/mara": 200,
        "/api/packages/none": 404,
    }
    repository = {
        "/names": 200,
        "/versions": 200,
        f"/packages/{PUBLIC_PACKAGE}": 200,
        f"/tarballs/{PUBLIC_PACKAGE}-1.0.0.tar": 200,
        f"/docs/{PUBLIC_PACKAGE}-1.0.0.tar.gz": 200,
        f"/repo/packages/{PUBLIC_PACKAGE}": 200,
        f"/repos/hexpm/packages/{PUBLIC_PACKAGE}": 200,
        "/packages/none": 404,
    }
    got_api = {path: (await nobody.get(path)).status for path in api}
    got_repository = {path: (await nobody.get(path)).status for path in repository}
    if mode == "true":
        assert (got_api, got_repository) == (api, repository)
    else:
        assert set(got_api.values()) == {401}
        assert set(got_repository.values()) == {404}
    for path in (
        "/public_key",
        "/installs/hex-1.x.csv",
        "/health/live",
        "/status",
        "/metrics",
        "/api/cluster/status",
    ):
        assert (await nobody.get(path)).status == 200


async def test_with_credentials_all_is_as_ever(closed_hub: TestHub, mode: str) -> None:
    mara = await closed_hub.key("mara", "api")
    reader = await closed_hub.key("mara", "repositories")
    assert (await mara.get(f"/api/packages/{PUBLIC_PACKAGE}")).status == 200
    for path in (f"/packages/{PUBLIC_PACKAGE}", f"/repos/forest/packages/{PRIVATE_PACKAGE}"):
        answer = await reader.get(path)
        assert answer.status == 200
        if mode != "true":
            assert answer.headers["Cache-Control"].startswith("private")
    for wrong in (Person(closed_hub, None, "0" * 32),):
        expected = 200 if mode == "true" else 404
        assert (await wrong.get(f"/packages/{PUBLIC_PACKAGE}")).status == expected


async def test_an_answer_for_one_reader_is_never_sent_to_another(
    closed_hub: TestHub, mode: str
) -> None:
    """Also when it could be answered from memory."""
    reader = await closed_hub.key("mara", "repositories")
    for path in (
        f"/packages/{PUBLIC_PACKAGE}",
        f"/tarballs/{PUBLIC_PACKAGE}-1.0.0.tar",
        f"/repos/forest/packages/{PRIVATE_PACKAGE}",
    ):
        for _ in range(3):
            assert (await reader.get(path)).status == 200
        private = path.startswith("/repos/forest")
        open_to_all = mode == "true" and not private
        assert (await closed_hub.nobody.get(path)).status == (200 if open_to_all else 404)


async def test_registration_stays_possible_where_it_is_open(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, anonymous_read="false", registration="open") as hub:
        body = {"username": "otto", "email": "otto@example.org", "password": "a good password"}
        assert (await hub.nobody.post("/api/users", body)).status == 201
        assert (await hub.nobody.get("/api/users/otto")).status == 401
