"""Docs archives: upload, show, delete (http-api.md §3.9, docs.md §2)."""

from __future__ import annotations

from itertools import count

import pytest

from tests.hexhub.formats import golden
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import docs, package

pytestmark = pytest.mark.asyncio(loop_scope="module")

numbers = count()


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest.fixture
def name() -> str:
    """A name that nothing has."""
    return f"name_{next(numbers)}"


ARCHIVES = {each["file"]: each for each in golden.load("docs.json")}


def _path(name: str, version: str = "1.0.0") -> str:
    return f"/api/packages/{name}/releases/{version}/docs"


async def test_docs_are_published_shown_fetched_and_deleted(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    archive = f"http://localhost:4000/docs/{name}-1.0.0.tar.gz"
    assert (await hub.nobody.get(_path(name))).status == 404
    before = (await mara.get(f"/api/packages/{name}")).value["updated_at"]
    answer = await mara.post(_path(name), data=docs(name))
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"] == archive
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert "Content-Type" not in answer.headers
    found = await hub.nobody.get(_path(name))
    assert (found.status, found.headers["Location"]) == (302, archive)
    assert (await hub.nobody.get(f"/docs/{name}-1.0.0.tar.gz")).body == docs(name)
    release = (await mara.get(f"/api/packages/{name}/releases/1.0.0")).value
    assert release["has_docs"] is True
    assert (await mara.get(f"/api/packages/{name}")).value["updated_at"] > before
    gone = await mara.delete(_path(name))
    assert (gone.status, gone.body) == (204, b"")
    assert (await hub.nobody.get(_path(name))).status == 404
    assert (await hub.nobody.get(f"/docs/{name}-1.0.0.tar.gz")).status == 404
    assert (await mara.delete(_path(name))).status == 204
    release = (await mara.get(f"/api/packages/{name}/releases/1.0.0")).value
    assert (release["has_docs"], release["docs_html_url"]) == (False, None)


async def test_docs_may_be_replaced_at_any_time(hub: TestHub, mara: Person, name: str) -> None:
    await mara.publish(package(name))
    await mara.post(_path(name), data=docs("first"))
    assert (await mara.post(_path(name), data=docs("second"))).status == 201
    assert (await hub.nobody.get(f"/docs/{name}-1.0.0.tar.gz")).body == docs("second")


async def test_docs_need_their_release(mara: Person, name: str) -> None:
    assert (await mara.post(_path(name), data=docs())).status == 404
    await mara.publish(package(name))
    assert (await mara.post(_path(name, "2.0.0"), data=docs())).status == 404
    assert (await mara.delete(_path(name, "2.0.0"))).status == 404
    assert (await mara.post(_path(name, "two"), data=docs())).status == 400


async def test_private_docs_are_fetched_from_their_repository(
    hub: TestHub, mara: Person, name: str
) -> None:
    await hub.organization(name, mara)
    await mara.publish(package("oak"), repository=name)
    path = f"/api/repos/{name}/packages/oak/releases/1.0.0/docs"
    archive = f"/repos/{name}/docs/oak-1.0.0.tar.gz"
    answer = await mara.post(path, data=docs("private"))
    assert answer.headers["Location"] == f"http://localhost:4000{archive}"
    assert (await mara.get(archive)).body == docs("private")
    assert (await hub.nobody.get(archive)).status == 404
    assert (await hub.nobody.get(path)).status == 404


@pytest.mark.parametrize("file", sorted(ARCHIVES))
async def test_golden_archives_are_taken_or_refused(
    hub: TestHub, mara: Person, name: str, file: str
) -> None:
    """docs.md §2: as HexDocs decides later, and with an index page."""
    said = ARCHIVES[file]
    body = golden.read(file if "/" in file else f"docs/{file}")
    await mara.publish(package(name))
    before = hub.traces()
    answer = await mara.post(_path(name), data=body)
    good = (
        isinstance(said["hexpm_upload_inflated_size"], int)
        and said["hexdocs_verdict"].startswith("publish")
        and said["has_index"]
    )
    if good:
        assert answer.status == 201
        assert (await hub.nobody.get(f"/docs/{name}-1.0.0.tar.gz")).body == body
    else:
        assert answer.status == 422
        assert set(answer.errors) == {"tar"}
        assert isinstance(answer.errors["tar"], str)
        assert hub.traces() == before
        assert (await hub.nobody.get(_path(name))).status == 404


@pytest.mark.parametrize("body", [b"", b"x", b"\x1f\x8b", b"\x1f\x8b" + bytes(100), bytes(5000)])
async def test_what_is_no_archive_is_a_validation_error(
    hub: TestHub, mara: Person, name: str, body: bytes
) -> None:
    await mara.publish(package(name))
    before = hub.traces()
    answer = await mara.post(_path(name), data=body)
    assert (answer.status, set(answer.errors)) == (422, {"tar"})
    assert hub.traces() == before
