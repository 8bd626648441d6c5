"""Hostile and broken input, each time: a clear refusal, no trace, and the node goes on (issue 2)."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from hexhub.errors import Refused
from hexhub.formats import signing_key
from tests.hexhub import hubs
from tests.hexhub.formats import golden
from tests.hexhub.hubs import Answer, Person, TestHub
from tests.hexhub.packages import Requirement, crafted, docs, metadata, package
from tests.hexhub.registry import names

pytestmark = pytest.mark.asyncio(loop_scope="module")

numbers = count()
BAD = {each["file"]: each for each in golden.load("bad.json")}
LENIENT = {each["file"]: each for each in golden.load("lenient.json")}


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


@pytest_asyncio.fixture(loop_scope="module")
async def traceless(hub: TestHub) -> AsyncIterator[None]:
    """Fails the test when it left anything in tables, storage, spool or registry."""

    async def state() -> Any:
        registry = {path: (await hub.nobody.get(path)).body for path in ("/names", "/versions")}
        return hub.hub.store.applied, hub.traces(), registry

    before = await state()
    yield
    await hub.settled(lambda: hub.traces() == before[1])
    assert await state() == before
    assert (await hub.nobody.get("/health/ready")).status == 200


def _refused(answer: Answer, field: str = "tar") -> None:
    assert answer.status == 422
    assert answer.value["message"] == "Validation error(s)"
    assert set(answer.errors) == {field}
    if field == "tar":
        assert isinstance(answer.errors["tar"], str)
        assert 0 < len(answer.errors["tar"]) < 1000


@pytest.mark.usefixtures("traceless")
@pytest.mark.parametrize("file", sorted(BAD))
async def test_golden_bad_tarballs_are_refused_by_both_routes(mara: Person, file: str) -> None:
    body = golden.read(f"bad/{file}")
    _refused(await mara.publish(body))
    _refused(await mara.post("/api/packages/minimal/releases", data=body))


@pytest.mark.parametrize("file", sorted(LENIENT))
async def test_golden_odd_tarballs_get_what_is_recommended(
    hub: TestHub, mara: Person, file: str
) -> None:
    """`accept` is about the tarball: its metadata may still break a rule."""
    before = hub.traces()
    answer = await mara.publish(golden.read(f"lenient/{file}"))
    if LENIENT[file]["recommended"] == "accept":
        assert answer.status in (200, 201) or "tar" not in answer.errors
    else:
        assert answer.status == 422
    if answer.status == 422:
        assert hub.traces() == before


def _bomb(size: int) -> bytes:
    """Contents that inflate to one file of this size."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        entry = tarfile.TarInfo("zeros")
        entry.size = size
        archive.addfile(entry, _Zeros(size))
    return buffer.getvalue()


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        return bytes(size)


def _entries(count_: int) -> bytes:
    """Contents with this many empty files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(count_):
            archive.addfile(tarfile.TarInfo(f"f{number}"))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def _linked(kind: bytes, name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        archive.addfile(entry)
    return gzip.compress(buffer.getvalue(), mtime=0)


MIB = 1024 * 1024


@pytest.mark.usefixtures("traceless")
@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(lambda: _bomb(129 * MIB), id="inflates beyond the limit"),
        pytest.param(
            lambda: gzip.compress(gzip.compress(bytes(40 * MIB)), mtime=0), id="gzip in gzip"
        ),
        pytest.param(lambda: _bomb(MIB)[:-20], id="cut short"),
        pytest.param(lambda: _linked(tarfile.SYMTYPE, "a", "/etc/passwd"), id="absolute link"),
        pytest.param(lambda: _linked(tarfile.SYMTYPE, "a", "../../x"), id="link upwards"),
        pytest.param(lambda: _linked(tarfile.REGTYPE, "../../evil", ""), id="path upwards"),
        pytest.param(lambda: _linked(tarfile.CHRTYPE, "tty", ""), id="character device"),
        pytest.param(lambda: _linked(tarfile.BLKTYPE, "disk", ""), id="block device"),
        pytest.param(lambda: _linked(tarfile.FIFOTYPE, "pipe", ""), id="pipe"),
    ],
)
async def test_contents_that_harm_are_refused(
    mara: Person, name: str, contents: Callable[[], bytes]
) -> None:
    _refused(await mara.publish(crafted(metadata(name), contents=contents())))


@pytest.mark.usefixtures("traceless")
@pytest.mark.parametrize(
    "config",
    [
        b"".join(b'{<<"a%d">>,atom_%d}.\n' % (n, n) for n in range(5000)),
        b'{<<"extra">>,' + b"[" * 5000 + b"]" * 5000 + b"}.\n",
        b'{<<"extra">>,' + b'#{<<"a">> => ' * 200 + b"1" + b"}" * 200 + b"}.\n",
        b'{<<"name">>,' + b"9" * 900_000 + b"}.\n",
        b'{<<"name">>,<<"' + b"x" * (2 * MIB) + b'">>}.\n',
        b'{<<"name">>,<<"a">>}.\n' * 60_000,
        b"\xff\xfe\x00",
        b'{<<"name">>,<<"cut',
        b"",
    ],
    ids=["atoms", "lists", "maps", "digits", "long", "repeated", "bytes", "cut", "empty"],
)
async def test_metadata_that_floods_is_refused_in_bounds(mara: Person, config: bytes) -> None:
    answer = await mara.publish(crafted(config))
    assert answer.status == 422
    assert set(answer.errors) <= {"tar", "name", "meta", "version", "requirements"}


@pytest.mark.usefixtures("traceless")
@pytest.mark.parametrize(
    "outer",
    [
        {"CHECKSUM": b"0" * 64},
        {"CHECKSUM": b""},
        {"CHECKSUM": b"\xff" * 64},
        {"CHECKSUM": b"0" * 1000},
        {"VERSION": b"2"},
        {"VERSION": b"3" * 100},
        {"metadata.config": b""},
        {"contents.tar.gz": b""},
        {"more": b"x"},
        {"../evil": b"x"},
    ],
    ids=lambda outer: next(iter(outer)) + str(len(next(iter(outer.values())))),
)
async def test_an_outer_archive_that_is_not_whole_is_refused(
    mara: Person, name: str, outer: dict[str, bytes]
) -> None:
    _refused(await mara.publish(crafted(metadata(name), outer=outer)))


@pytest.mark.usefixtures("traceless")
async def test_every_cut_of_a_tarball_is_refused(mara: Person, name: str) -> None:
    body = package(name)
    for size in (0, 1, 511, 512, 513, 1024, 2048, body.index(b"contents.tar.gz") + 600):
        _refused(await mara.publish(body[:size]))


@pytest.mark.usefixtures("traceless")
async def test_flipped_bytes_never_get_through(mara: Person, name: str) -> None:
    body = package(name)
    contents_at = body.index(b"contents.tar.gz")
    for at in (contents_at + 600, contents_at + 560, body.index(b'{<<"name"') + 3):
        changed = bytearray(body)
        changed[at] ^= 0x20
        answer = await mara.publish(bytes(changed))
        assert answer.status == 422


@pytest.mark.usefixtures("traceless")
async def test_a_stranger_s_tarballs_are_refused_and_not_kept(
    hub: TestHub, mara: Person, name: str
) -> None:
    """Nothing that a rule refuses stays in storage."""
    refused = [
        await hub.nobody.publish(package(name)),
        await mara.publish(package(name, requirements={"none_such": Requirement("~> 1.0")})),
        await mara.publish(package(name), repository="no_such"),
        await mara.publish(package("elixir")),
        await mara.publish(package(name, "1.0.0+build")),
        await mara.post(f"/api/packages/other_{name}/releases", data=package(name)),
    ]
    assert {answer.status for answer in refused} <= {401, 404, 422}


async def test_an_existing_release_stays_as_it_was_when_its_replacement_is_refused(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    before = hub.hub.store.applied, hub.traces()
    for body in (
        package(name, requirements={"none_such": Requirement("~> 1.0")}),
        package(name, licenses=["Unknown Terms"]),
        b"junk",
    ):
        assert (await mara.publish(body)).status == 422
    assert (await mara.publish(package(name, text="x"), replace=False)).status == 422
    assert (hub.hub.store.applied, hub.traces()) == before
    assert (await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")).body == package(name)


@pytest.mark.parametrize(("check", "status"), [("own", 422), ("upstream", 201), ("off", 201)])
async def test_dependencies_are_looked_for_as_the_setting_says(
    tmp_path: Path, check: str, status: int
) -> None:
    async with hubs.running(tmp_path, dependency_check=check) as hub:
        mara = await hub.user("mara")
        await hub.organization("forest", mara)
        body = package("acorn", requirements={"none_such": Requirement("~> 1.0")})
        answer = await mara.publish(body)
        assert answer.status == status
        if status == 422:
            assert answer.errors == {
                "requirements": {"none_such": 'package does not exist in repository "hexpm"'}
            }
            assert await names(hub) == {}
        inner = package("oak", requirements={"none": Requirement("~> 1.0", repository="forest")})
        answer = await mara.publish(inner, repository="forest")
        assert answer.status == (201 if check == "off" else 422)
        if check != "off":
            assert answer.errors == {
                "requirements": {"none": 'package does not exist in repository "forest"'}
            }


# golden packages


def _order(said: dict[str, Any]) -> int:
    return len(said["metadata"].get("requirements") or {})


async def test_golden_good_packages_are_published_byte_for_byte(tmp_path: Path) -> None:
    """What they need first; those that hexpm's rules refuse are refused by the stated field."""
    good = golden.load("good.json")
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        here = {each["name"] for each in good}
        for each in good:
            for needed in _needed(each["metadata"]) - here:
                here.add(needed)
                assert (await mara.publish(package(needed))).status == 201
        refused = {}
        for each in sorted(good, key=_order):
            body = golden.read(f"good/{each['file']}")
            answer = await mara.publish(body)
            if answer.status == 201:
                path = f"/tarballs/{each['name']}-{each['version']}.tar"
                assert (await hub.nobody.get(path)).body == body
                assert answer.value["checksum"] == each["outer_checksum"]
            else:
                refused[each["file"]] = answer.errors
        assert not hub.faults
    assert len(refused) < len(good) - 8
    assert {"build_meta-1.0.0+build.5.tar"} <= set(refused)
    assert refused["build_meta-1.0.0+build.5.tar"] == {"version": "build number not allowed"}
    assert all(
        set(errors) <= {"meta", "version", "name", "requirements"} for errors in refused.values()
    )


def _needed(said: dict[str, Any]) -> set[str]:
    requirements = said.get("requirements")
    if not isinstance(requirements, dict):
        return set()
    return {
        name
        for name, fields in requirements.items()
        if isinstance(fields, dict) and fields.get("repository") in (None, "hexpm")
    }


# the disk


def _full(monkeypatch: pytest.MonkeyPatch, call: str, folder: Path) -> None:
    """Let writes (or what else) below this folder fail as on a full disk."""
    real = getattr(os, call)

    def fails(*arguments: Any, **more: Any) -> Any:
        target = arguments[0]
        if isinstance(target, int):
            try:
                target = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                target = ""
        if str(target).startswith(str(folder)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **more)

    monkeypatch.setattr(os, call, fails)


@pytest.mark.parametrize(
    ("call", "size"),
    # A small body is synced as it is written.
    [("write", 0), ("write", 300_000), ("fsync", 300_000), ("open", 0), ("open", 300_000)],
)
@pytest.mark.parametrize("what", ["package", "docs"])
async def test_a_full_disk_is_503_and_leaves_nothing(
    hub: TestHub,
    mara: Person,
    name: str,
    call: str,
    size: int,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = hub.folder / "data"
    if what == "docs":
        await mara.publish(package(name))
    path = "/api/publish" if what == "package" else f"/api/packages/{name}/releases/1.0.0/docs"
    text = name + os.urandom(size).hex()
    body = package(name, text=text) if what == "package" else docs(text)
    before = hub.hub.store.applied, hub.traces()
    with monkeypatch.context() as patch:
        for folder in ("spool", "storage", "blobs"):
            _full(patch, call, data / folder)
        answer = await mara.post(path, data=body)
    assert answer.status == 503
    assert answer.value["message"] == "no space left to store this"
    assert int(answer.headers["Retry-After"]) > 0
    assert (hub.hub.store.applied, hub.traces()) == before
    assert (await mara.post(path, data=body)).status == 201


@pytest.fixture
def small_spool(tmp_path: Path) -> Iterator[Path]:
    """A spool of a quarter of a megabyte on a file system of its own, where one may be mounted."""
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(spool)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield spool
    subprocess.run(["umount", str(spool)], check=True)


async def test_a_really_full_disk_is_survived(
    tmp_path: Path, small_spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    monkeypatch.setattr(Path, "mkdir", _tolerant(Path.mkdir))
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        large = package("large", text=os.urandom(300_000).hex())
        answer = await mara.publish(large)
        assert answer.status == 503
        assert hub.traces() == []
        # The spool is a file system of its own here, and storage is not.
        assert (await mara.publish(package("small"))).status == 201
        assert not hub.faults
        assert os.listdir(small_spool) == []


def _tolerant(make: Any) -> Any:
    def mkdir(self: Path, *arguments: Any, **more: Any) -> None:
        make(self, *arguments, **(more | {"exist_ok": True}))

    return mkdir


def _object(hub: TestHub, checksum: str) -> Path:
    return next((hub.folder / "data").rglob(checksum))


async def test_a_damaged_object_is_not_served_but_counted_and_healed_by_a_publish(
    tmp_path: Path,
) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        checksum = (await mara.publish(package("acorn"))).value["checksum"]
    path = next((tmp_path / "data").rglob(checksum))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    async with hubs.running(tmp_path) as hub:
        mara = await hub.key("mara", "api")
        for method in ("GET", "HEAD", "GET"):
            answer = await hub.nobody.request(method, "/tarballs/acorn-1.0.0.tar")
            assert answer.status == 503
            assert bytes(content) != answer.body
        metrics = (await hub.nobody.get("/metrics")).body.decode()
        damaged = next(x for x in metrics.splitlines() if x.startswith("hexhub_storage_damaged "))
        assert float(damaged.split()[1]) >= 1
        assert (await hub.nobody.get("/packages/acorn")).status == 200
        again = await mara.publish(package("acorn"), replace=True)
        assert again.status == 200
        assert (await hub.nobody.get("/tarballs/acorn-1.0.0.tar")).body == package("acorn")
        assert not hub.faults


async def test_a_lost_object_is_503_and_not_a_package_that_does_not_exist(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        checksum = (await mara.publish(package("acorn"))).value["checksum"]
        _object(hub, checksum).unlink()
        assert (await hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 503
        assert (await mara.publish(package("acorn"))).status == 200
        assert (await hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 200


# starting


async def test_two_hubs_on_one_directory_are_refused(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        with pytest.raises(Refused) as refused:
            async with hubs.running(tmp_path):
                pass
        assert str(tmp_path) in str(refused.value) or "use" in str(refused.value)
        assert (await mara.publish(package("acorn"))).status == 201


SECRET, OTHER_SECRET = "s" * 64, "t" * 64


async def test_a_secret_that_does_not_fit_the_data_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with hubs.running(tmp_path, secret_key_base=SECRET) as hub:
        mara = await hub.user("mara")
        assert (await mara.publish(package("acorn"))).status == 201
        key = (await hub.nobody.get("/public_key")).body
    with pytest.raises(Refused, match="secret does not fit"):
        async with hubs.running(tmp_path, secret_key_base=OTHER_SECRET):
            pass
    async with hubs.running(tmp_path, secret_key_base=SECRET) as hub:
        assert (await hub.nobody.get("/public_key")).body == key
        assert (await Person(hub, None, mara.authorization).get("/api/users/me")).status == 200


async def test_a_signing_key_is_taken_once_and_never_changed(tmp_path: Path) -> None:
    pkcs8 = golden.GOLDEN / "registry/private_key_pkcs8.pem"
    spki = golden.read("registry/public_key_spki.pem")
    async with hubs.running(tmp_path, signing_key_file=str(pkcs8)) as hub:
        assert (await hub.nobody.get("/public_key")).body == spki
        assert hub.hub.fingerprint == golden.load("keys.json")["fingerprint"]
    for same in (str(pkcs8), str(hubs.SIGNING_KEY)):
        async with hubs.running(tmp_path, signing_key_file=same) as hub:
            assert (await hub.nobody.get("/public_key")).body == spki
    other = tmp_path / "other.pem"
    other.write_bytes(_new_key())
    with pytest.raises(Refused, match="another key"):
        async with hubs.running(tmp_path, signing_key_file=str(other)):
            pass


def _new_key() -> bytes:
    return signing_key.private_key_pem(rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN RSA PRIVATE KEY-----\nx\n"])
async def test_a_signing_key_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(Refused, match="SIGNING_KEY_FILE"):
        async with hubs.running(tmp_path, signing_key_file=str(path)):
            pass


async def test_a_signing_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="SIGNING_KEY_FILE"):
        async with hubs.running(tmp_path, signing_key_file=str(tmp_path / "none.pem")):
            pass


async def test_what_an_earlier_run_left_in_the_spool_is_gone(tmp_path: Path) -> None:
    left = tmp_path / "data" / "spool" / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a body")
    async with hubs.running(tmp_path):
        assert not left.exists()
