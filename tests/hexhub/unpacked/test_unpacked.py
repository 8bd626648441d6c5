"""Archives unpacked into packs."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from hexhub.errors import Malformed, NotFound
from hexhub.unpacked import Pack, archives
from tests.end_to_end.packages import docs_archive, tarball
from tests.hexhub.hubs import Person, TestHub

GOLDEN = Path(__file__).parents[2] / "golden"


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def test_what_goes_into_a_pack_comes_out(tmp_path: Path) -> None:
    files = [("a.txt", b"a" * 5000), ("b.png", os.urandom(900)), ("empty", b"")]
    pack = Pack.write(tmp_path / "x.pack", files)
    assert {path: pack.read(entry) for path, entry in pack.entries.items()} == dict(files)
    assert pack.entries["a.txt"].gzipped
    assert not pack.entries["b.png"].gzipped
    again = Pack.open(tmp_path / "x.pack")
    assert again.read(again.entries["a.txt"]) == b"a" * 5000


@pytest.mark.parametrize("length", [0, 5, 20, -1])
def test_a_pack_that_was_cut_short_is_not_opened(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.pack"
    Pack.write(path, [("a.txt", b"a" * 500)])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Malformed):
        Pack.open(path)


def test_a_pack_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        Pack.write(tmp_path / "x.pack", archives.docs(b"no archive"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a\\b", "x" * 2000])
def test_paths_that_leave_their_folder_are_dropped(name: str) -> None:
    made = archive((tarfile.TarInfo(name), b"evil"), (tarfile.TarInfo("./good//x"), b"good"))
    assert list(archives.docs(made)) == [("good/x", b"good")]


def test_links_and_devices_are_dropped() -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("device")
    device.type = tarfile.CHRTYPE
    made = archive((link, b""), (device, b""), (tarfile.TarInfo("a"), b"a"))
    assert list(archives.docs(made)) == [("a", b"a")]


def test_too_much_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SIZE_MAX", 1000)
    with pytest.raises(Malformed, match="too big"):
        list(archives.docs(archive((tarfile.TarInfo("a"), b"a" * 2000))))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FILES_MAX", 3)
    many = [(tarfile.TarInfo(f"f{number}"), b"") for number in range(10)]
    with pytest.raises(Malformed, match="too many"):
        list(archives.docs(archive(*many)))


@pytest.mark.parametrize("path", sorted((GOLDEN / "docs").iterdir()), ids=lambda path: path.name)
def test_golden_docs_are_read_or_refused_cleanly(path: Path) -> None:
    try:
        files = list(archives.docs(path.read_bytes()))
    except Malformed:
        return
    assert all(".." not in name and not name.startswith("/") for name, _ in files)


@pytest.mark.parametrize("path", sorted((GOLDEN / "bad").iterdir()), ids=lambda path: path.name)
def test_bad_tarballs_are_read_or_refused_cleanly(path: Path) -> None:
    try:
        files = list(archives.package(path.read_bytes()))
    except Malformed:
        return
    assert all(".." not in name.split("/") and not name.startswith("/") for name, _ in files)


async def test_packs_are_made_once_and_again_when_deleted(hub: TestHub, mara: Person) -> None:
    await mara.publish(tarball("ecto", "1.0.0", {"README.md": b"# Hi"}))
    await mara.post(
        "/api/packages/ecto/releases/1.0.0/docs", data=docs_archive({"index.html": b"x"})
    )
    with hub.hub.store.view() as view:
        from hexhub.schema import Release

        release = view.get(Release, "hexpm", "ecto", "1.0.0")
    assert release is not None
    pack = await hub.hub.unpacked.get("package", release.outer_checksum)
    assert pack.read(pack.entries["README.md"]) == b"# Hi"
    assert await hub.hub.unpacked.get("package", release.outer_checksum) is pack
    hub.hub.unpacked.forget()
    again = await hub.hub.unpacked.get("package", release.outer_checksum)
    assert again is not pack
    assert again.entries == pack.entries


async def test_an_archive_that_is_not_stored_is_not_found(hub: TestHub) -> None:
    with pytest.raises(NotFound):
        await hub.hub.unpacked.get("docs", bytes(32))
