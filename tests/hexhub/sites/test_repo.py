"""The repository that clients fetch from (registry.md §1, §5, §7, §14)."""

from __future__ import annotations

import gzip
import hashlib
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import Requirement, docs, package
from tests.hexhub.raw import wire
from tests.hexhub.registry import names, registry_package, versions

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASES = ("", "/repo", "/repos/hexpm", "/repo/repos/hexpm")
PRIVATE = ("/repos/forest", "/repo/repos/forest", "/repos/hexpm:forest")
TARBALL = package("acorn", text="x" * 5000)
LARGE = package("large", text="\x00\x01" * 400_000)
OAK = package("oak", text="private")


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def people(hub: TestHub, module_mara: Person) -> dict[str, Person]:
    """What is there to fetch, and who tries."""
    mara = module_mara
    otto = await hub.user("otto")
    await hub.organization("forest", mara)
    await hub.organization("birch", otto)
    assert (await mara.publish(TARBALL)).status == 201
    assert (await mara.publish(LARGE)).status == 201
    assert (await mara.publish(OAK, repository="forest")).status == 201
    for prefix, name in (("", "acorn"), ("/repos/forest", "oak")):
        path = f"/api{prefix}/packages/{name}/releases/1.0.0/docs"
        assert (await mara.post(path, data=docs(name))).status == 201
    revoked = await hub.key("mara", "repositories")
    await mara.delete("/api/keys/test-2")
    expiring = await hub.key("mara", "repositories", revoke_at=hub.hub.now() + hub.minute)
    hub.clock.ahead += 2 * hub.minute
    return {
        "mara": mara,
        "otto": otto,
        "revoked": revoked,
        "expired": expiring,
        "one_repository": await hub.key("mara", "repository:forest"),
        "organization": await hub.key("forest", "repository:forest", organization=True),
        "organization_all": await hub.key("forest", "repositories", organization=True),
        "api_only": await hub.key("mara", "api"),
        "docs_only": await hub.key("mara", "docs:forest"),
        "of_package": await hub.key("mara", "package:acorn"),
        "other_organization": await hub.key("birch", "repositories", organization=True),
        "wrong": Person(hub, None, "0" * 32),
        "nobody": hub.nobody,
    }


FILES = (
    "/names",
    "/versions",
    "/packages/acorn",
    "/tarballs/acorn-1.0.0.tar",
    "/docs/acorn-1.0.0.tar.gz",
    "/public_key",
)


@pytest.mark.parametrize("file", FILES)
async def test_the_public_repository_is_the_same_at_each_address(hub: TestHub, file: str) -> None:
    answers = [await hub.nobody.get(base + file) for base in BASES]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers.get("ETag") for answer in answers}) == 1


@pytest.mark.parametrize("base", BASES)
async def test_the_public_registry_says_what_was_published(hub: TestHub, base: str) -> None:
    assert list(await names(hub, base=base)) == ["acorn", "large"]
    assert (await versions(hub, base=base))["acorn"].versions == ("1.0.0",)
    release = (await registry_package(hub, "acorn", base=base)).releases[0]
    assert release.outer_checksum == hashlib.sha256(TARBALL).digest()
    assert release.published_at is not None


@pytest.mark.parametrize("base", ["", "/repo"])
async def test_a_private_registry_bears_the_bare_name_of_the_organization(
    hub: TestHub, people: dict[str, Person], base: str
) -> None:
    """T10; the decoders compare the name."""
    mara = people["mara"]
    assert list(await names(hub, repository="forest", reader=mara, base=base)) == ["oak"]
    found = await registry_package(hub, "oak", repository="forest", reader=mara, base=base)
    assert found.releases[0].outer_checksum == hashlib.sha256(OAK).digest()
    assert (await versions(hub, repository="forest", reader=mara, base=base))["oak"].versions


@pytest.mark.parametrize("base", PRIVATE)
@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("mara", True),
        ("one_repository", True),
        ("organization", True),
        ("organization_all", True),
        ("otto", False),
        ("api_only", False),
        ("docs_only", False),
        ("of_package", False),
        ("other_organization", False),
        ("revoked", False),
        ("expired", False),
        ("wrong", False),
        ("nobody", False),
    ],
)
async def test_private_files_are_for_keys_that_may_read_them(
    people: dict[str, Person], base: str, who: str, may: bool
) -> None:
    for file in (
        "/names",
        "/versions",
        "/packages/oak",
        "/tarballs/oak-1.0.0.tar",
        "/docs/oak-1.0.0.tar.gz",
    ):
        answer = await people[who].get(base + file)
        assert answer.status == (200 if may else 404)
        assert "WWW-Authenticate" not in answer.headers
        if may:
            assert answer.headers["Cache-Control"].startswith("private")


def _shown(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer that a stranger could tell apart."""
    headers = {k.lower(): v for k, v in answer.headers.items()}
    for name in ("date", "x-request-id"):
        headers.pop(name, None)
    return answer.status, answer.body, headers


@pytest.mark.parametrize("who", ["otto", "api_only", "wrong", "nobody", "revoked"])
async def test_what_is_hidden_looks_like_what_is_not_there(
    people: dict[str, Person], who: str
) -> None:
    caller = people[who]
    for base in ("", "/repo"):
        hidden = [
            f"{base}/repos/forest{file}"
            for file in (
                "/names",
                "/versions",
                "/packages/oak",
                "/tarballs/oak-1.0.0.tar",
                "/docs/oak-1.0.0.tar.gz",
                "/packages/none",
                "/tarballs/oak-9.0.0.tar",
            )
        ]
        unknown = [path.replace("/repos/forest", "/repos/unknown") for path in hidden]
        shown = {str(_shown(await caller.get(path))) for path in hidden + unknown}
        assert len(shown) == 1
    missing = await caller.get("/packages/none")
    if who != "revoked":
        assert _shown(missing) == _shown(await caller.get("/repos/forest/names"))


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("revoked", True),
        ("expired", True),
        ("wrong", False),
        ("nobody", False),
        ("api_only", False),
    ],
)
async def test_only_the_holder_of_an_ended_key_hears_that_it_ended(
    people: dict[str, Person], who: str, said: bool
) -> None:
    answer = await people[who].get("/repos/forest/packages/oak")
    message = answer.headers.get("X-Hex-Message")
    assert message == ('"API key revoked";level=warn' if said else None)


@pytest.mark.parametrize("who", ["wrong", "revoked", "api_only", "nobody", "mara"])
async def test_public_files_take_no_notice_of_credentials(
    people: dict[str, Person], who: str
) -> None:
    for file in FILES:
        answer = await people[who].get(file)
        assert answer.status == 200
        assert "X-Hex-Message" not in answer.headers
        assert answer.headers["Cache-Control"].startswith("public")


async def test_a_key_may_come_raw_behind_bearer_or_as_a_password(
    hub: TestHub, people: dict[str, Person]
) -> None:
    secret = people["mara"].authorization or ""
    for caller in (
        Person(hub, None, secret),
        Person(hub, None, f"Bearer {secret}"),
        hub.basic("anything", secret),
        hub.basic("", secret),
    ):
        assert (await caller.get("/repos/forest/packages/oak")).status == 200
    for authorization in ("Basic", "Basic x", "Basic !", "Bearer", "", "\udcff\udcfe", "a b c"):
        async with wire(hub.url) as connection:
            connection.head("GET", "/repos/forest/packages/oak", authorization=authorization)
            assert (await connection.answer()).status == 404


async def test_a_revoked_key_and_a_left_organization_end_access_at_once(
    hub: TestHub, people: dict[str, Person]
) -> None:
    mara = people["mara"]
    made = await mara.post(
        "/api/keys", {"name": "short", "permissions": [{"domain": "repositories"}]}
    )
    key = Person(hub, None, made.value["secret"])
    assert (await key.get("/repos/forest/tarballs/oak-1.0.0.tar")).status == 200
    await mara.delete("/api/keys/short")
    assert (await key.get("/repos/forest/tarballs/oak-1.0.0.tar")).status == 404


# files


async def test_the_registry_is_gzip_with_nothing_after_it(hub: TestHub) -> None:
    """T1, T2, T11."""
    for file in ("/names", "/versions", "/packages/acorn"):
        answer = await hub.nobody.get(file)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert "Content-Encoding" not in answer.headers
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        assert gzip.compress(gzip.decompress(answer.body))
        assert answer.body[4:8] == bytes(4), "no time in the gzip header"


async def test_optional_is_left_out_unless_true(hub: TestHub, people: dict[str, Person]) -> None:
    """T7: Gleam takes the mere presence of the field for true."""
    mara = people["mara"]
    await mara.publish(package("needy", requirements={"acorn": Requirement("~> 1.0")}))
    dependency = (await registry_package(hub, "needy")).releases[0].dependencies[0]
    assert (dependency.optional, dependency.app, dependency.repository) == (None, None, None)
    await mara.delete("/api/packages/needy/releases/1.0.0")


async def test_the_public_key_is_spki_and_always_there(
    hub: TestHub, people: dict[str, Person]
) -> None:
    """T8, T9."""
    for who in ("nobody", "wrong", "revoked"):
        for path in (
            *(base + "/public_key" for base in BASES),
            "/repos/forest/public_key",
            "/repos/unknown/public_key",
            "/repo/repos/unknown/public_key",
        ):
            answer = await people[who].get(path)
            assert answer.status == 200
            assert answer.body.startswith(b"-----BEGIN PUBLIC KEY-----\n")
            assert answer.body.endswith(b"-----END PUBLIC KEY-----\n")


async def test_the_list_of_newer_clients_is_empty(hub: TestHub) -> None:
    for path in ("/installs/hex-1.x.csv", "/repo/installs/hex-1.x.csv"):
        answer = await hub.nobody.get(path)
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/packages/none",
        "/packages/Acorn",
        "/packages/acorn-1.0.0",
        "/packages/acorn%2F",
        "/packages/..%2Fnames",
        "/tarballs/acorn-1.0.1.tar",
        "/tarballs/acorn-1.0.0",
        "/tarballs/acorn-1.0.tar",
        "/tarballs/acorn.tar",
        "/tarballs/-1.0.0.tar",
        "/tarballs/acorn-1.0.0.tar.gz",
        "/tarballs/..%2f..%2fsecret",
        "/tarballs/" + "x" * 3000 + "-1.0.0.tar",
        "/docs/acorn-1.0.1.tar.gz",
        "/docs/large-1.0.0.tar.gz",
        "/registry.ets.gz",
        "/registry.ets.gz.signed",
        "/repos/forest/installs/hex-1.x.csv",
        "/repos/../names",
        "/repos/%2e%2e/names",
        "/repos//names",
    ],
)
async def test_what_is_not_there_is_a_short_text(hub: TestHub, path: str) -> None:
    async with wire(hub.url) as connection:
        connection.head("GET", path)
        answer = await connection.answer()
    if path == "/repos//names":  # the organization `names`, at the API's address of a repository
        assert answer.status == 404
        return
    assert answer.status == 404
    assert len(answer.body) < 200
    assert not answer.headers.get("Content-Type", "").startswith("application/vnd.hex+erlang")


async def test_slashes_are_collapsed(hub: TestHub) -> None:
    """T5."""
    for path in ("//packages/acorn", "/repo//packages/acorn", "//repo///packages//acorn/"):
        async with wire(hub.url) as connection:
            connection.head("GET", path)
            assert (await connection.answer()).status == 200


async def test_a_plus_is_the_same_raw_and_escaped(hub: TestHub) -> None:
    """A version with build data cannot be published; both forms are refused alike, not crashed."""
    for form in ("+", "%2B", "%2b"):
        answer = await hub.nobody.get(f"/tarballs/acorn-1.0.0{form}build.tar")
        assert answer.status == 404
    assert (await hub.nobody.get("/tarballs/acorn-1%2E0.0.tar")).status == 200


@pytest.mark.parametrize("name", ["acorn", "large"])
async def test_a_tarball_has_a_tag_and_answers_conditions(hub: TestHub, name: str) -> None:
    """T3, T4, T14. `large` comes from the disk, `acorn` from memory after the first time."""
    path = f"/tarballs/{name}-1.0.0.tar"
    body = {"acorn": TARBALL, "large": LARGE}[name]
    for _ in range(2):
        answer = await hub.nobody.get(path)
        assert answer.body == body
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Accept-Ranges"] == "bytes"
    tag = answer.headers["ETag"]
    for listed in (tag, f'"x", {tag}', "*", tag.strip('"'), f"W/{tag}"):
        fresh = await hub.nobody.get(path, If_None_Match=listed)
        assert (fresh.status, fresh.body) == (304, b"")
        assert fresh.headers["ETag"] == tag
    for listed in ("", '"x"', "  "):
        assert (await hub.nobody.get(path, If_None_Match=listed)).body == body
    headed = await hub.nobody.head(path)
    assert (headed.status, headed.body) == (200, b"")
    assert int(headed.headers["Content-Length"]) == len(body)
    assert headed.headers["ETag"] == tag
    assert (await hub.nobody.head(path, If_None_Match=tag)).status == 304


@pytest.mark.parametrize("name", ["acorn", "large"])
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=-99999999", slice(0, None)),
        ("bytes=10-99999999", slice(10, None)),
    ],
)
async def test_a_range_is_answered_in_part(
    hub: TestHub, name: str, wanted: str, part: slice
) -> None:
    body = {"acorn": TARBALL, "large": LARGE}[name]
    answer = await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar", Range=wanted)
    start, stop, _ = part.indices(len(body))
    assert (answer.status, answer.body) == (206, body[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(body)}"
    assert int(answer.headers["Content-Length"]) == stop - start
    headed = await hub.nobody.head(f"/tarballs/{name}-1.0.0.tar", Range=wanted)
    assert (headed.status, headed.body) == (206, b"")


@pytest.mark.parametrize("name", ["acorn", "large"])
@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=",
        "bytes=-",
        "bytes=5-1",
        "bytes=a-b",
        "bytes=0-1,5-6",
        "lines=0-1",
        "bytes 0-1",
        "bytes=0-" + "9" * 40,
        "bytes=--1",
        "",
    ],
)
async def test_what_is_no_single_range_gets_everything(
    hub: TestHub, name: str, wanted: str
) -> None:
    body = {"acorn": TARBALL, "large": LARGE}[name]
    answer = await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar", Range=wanted)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("name", ["acorn", "large"])
@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0", "bytes=99999999-999999999"])
async def test_a_range_beyond_the_end_is_416(hub: TestHub, name: str, wanted: str) -> None:
    size = len({"acorn": TARBALL, "large": LARGE}[name])
    answer = await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar", Range=wanted)
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


async def test_a_range_of_another_version_gets_everything(hub: TestHub) -> None:
    path = "/tarballs/acorn-1.0.0.tar"
    tag = (await hub.nobody.head(path)).headers["ETag"]
    same = await hub.nobody.get(path, Range="bytes=0-9", If_Range=tag)
    other = await hub.nobody.get(path, Range="bytes=0-9", If_Range='"other"')
    dated = await hub.nobody.get(path, Range="bytes=0-9", If_Range="Mon, 01 Jan 2001 00:00:00 GMT")
    assert (same.status, same.body) == (206, TARBALL[:10])
    assert (other.status, dated.status) == (200, 200)
    fresh = await hub.nobody.get(path, Range="bytes=0-9", If_None_Match=tag)
    assert fresh.status == 304


async def test_registry_files_answer_conditions(hub: TestHub) -> None:
    for file in ("/names", "/versions", "/packages/acorn"):
        first = await hub.nobody.get(file)
        fresh = await hub.nobody.get(file, If_None_Match=first.headers["ETag"])
        assert (fresh.status, fresh.body) == (304, b"")
        assert fresh.headers["ETag"] == first.headers["ETag"]
        assert (await hub.nobody.get(file, If_None_Match="")).body == first.body
        assert (await hub.nobody.get(file, If_None_Match='"x"')).body == first.body


async def test_what_may_still_change_is_asked_for_again_and_what_may_not_is_kept(
    hub: TestHub, people: dict[str, Person]
) -> None:
    def age(answer: Any) -> str:
        return str(answer.headers["Cache-Control"])

    for file in ("/names", "/packages/acorn", "/docs/acorn-1.0.0.tar.gz"):
        assert "must-revalidate" in age(await hub.nobody.get(file))
    assert "must-revalidate" in age(await hub.nobody.get("/tarballs/acorn-1.0.0.tar"))
    hub.clock.ahead += timedelta(days=2)
    assert age(await hub.nobody.get("/tarballs/acorn-1.0.0.tar")) == "public, max-age=604800"
    private = await people["mara"].get("/repos/forest/tarballs/oak-1.0.0.tar")
    assert "must-revalidate" in age(private)
    hub.clock.ahead -= timedelta(days=2)


async def test_a_replaced_release_is_the_new_one_everywhere(
    hub: TestHub, people: dict[str, Person]
) -> None:
    mara = people["mara"]
    first, second = package("swift", text="1"), package("swift", text="2")
    await mara.publish(first)
    before = {f: (await hub.nobody.get(f)).headers["ETag"] for f in ("/names", "/packages/swift")}
    tag = (await hub.nobody.get("/tarballs/swift-1.0.0.tar")).headers["ETag"]
    await mara.publish(second)
    answer = await hub.nobody.get("/tarballs/swift-1.0.0.tar", If_None_Match=tag)
    assert (answer.status, answer.body) == (200, second)
    found = (await registry_package(hub, "swift")).releases[0]
    assert found.outer_checksum == hashlib.sha256(second).digest()
    for file, old in before.items():
        assert (await hub.nobody.get(file, If_None_Match=old)).status == 200
    await mara.delete("/api/packages/swift/releases/1.0.0")
    assert (await hub.nobody.get("/tarballs/swift-1.0.0.tar")).status == 404
    assert (await hub.nobody.get("/packages/swift")).status == 404


async def test_fetches_are_counted_once_each_and_heads_and_parts_not(
    hub: TestHub, people: dict[str, Person]
) -> None:
    mara = people["mara"]
    await mara.publish(package("counted"))
    path = "/tarballs/counted-1.0.0.tar"
    tag = (await hub.nobody.get(path)).headers["ETag"]
    await hub.nobody.get(path)
    await hub.nobody.get(f"/repo{path}")
    await hub.nobody.get(path, If_None_Match=tag)
    await hub.nobody.head(path)
    await hub.nobody.get(path, Range="bytes=0-9")
    await hub.nobody.get("/packages/counted")
    await hub.hub.counters.flush()
    assert (await mara.get("/api/packages/counted")).value["downloads"] == {}, "today never counts"
    hub.clock.ahead += timedelta(days=1)
    expected = {"day": 4, "week": 4, "recent": 4, "all": 4}
    assert (await mara.get("/api/packages/counted")).value["downloads"] == expected
    hub.clock.ahead -= timedelta(days=1)


# the API at the root (http-api.md §8)


@pytest.mark.parametrize(
    ("accept", "serves"),
    [
        (None, "registry"),
        ("*/*", "registry"),
        ("application/json", "registry"),
        ("application/octet-stream", "registry"),
        ("application/vnd.hex+json", "api"),
        ("application/vnd.hex+erlang", "api"),
        ("application/vnd.hex+erlang, */*;q=0.1", "api"),
    ],
)
async def test_a_package_at_the_root_is_what_the_accept_header_says(
    hub: TestHub, people: dict[str, Person], accept: str | None, serves: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    for caller, path in (
        (hub.nobody, "/packages/acorn"),
        (people["mara"], "/repos/forest/packages/oak"),
    ):
        answer = await caller.get(path, **headers)
        assert answer.status == 200
        is_registry = answer.headers["Content-Type"] == "application/octet-stream"
        assert is_registry is (serves == "registry")
        if not is_registry:
            assert answer.value["name"] == path.rpartition("/")[2]


@pytest.mark.parametrize("accept", [None, "application/json", "application/vnd.hex+erlang"])
@pytest.mark.parametrize(
    "path",
    [
        "/packages/acorn/releases/1.0.0",
        "/packages/acorn/owners",
        "/packages?search=acorn",
        "/users/mara",
        "/users/me",
        "/keys",
        "/orgs/forest/keys",
        "/auth?domain=api",
        "/repos/forest/packages",
        "/repos/forest/packages/oak/releases/1.0.0",
    ],
)
async def test_the_rest_of_the_api_is_at_the_root_too(
    people: dict[str, Person], path: str, accept: str | None
) -> None:
    headers = {"Accept": accept} if accept else {}
    mara = people["mara"]
    at_root, below = await mara.get(path, **headers), await mara.get(f"/api{path}", **headers)
    assert at_root.status == below.status == 200
    assert at_root.headers["Content-Type"] == below.headers["Content-Type"]
    assert at_root.value == below.value


async def test_a_key_and_a_package_can_be_made_at_the_root(people: dict[str, Person]) -> None:
    mara = people["mara"]
    assert (await mara.post("/keys", {"name": "rooted"})).status == 201
    assert (await mara.post("/publish", data=package("rooted"))).status == 201
    assert (await mara.post("/packages/rooted/releases", data=package("rooted"))).status == 200
    assert (await mara.delete("/packages/rooted/releases/1.0.0")).status == 204
    assert (await mara.delete("/keys/rooted")).status == 200
