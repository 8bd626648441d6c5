"""Backups: whole or refused, of one moment, restored with every key and byte."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from hexhub import app, config, parts
from hexhub.backup import NotWhole, read, restore, secret, write
from hexhub.backup.schedule import Schedule
from hexhub.errors import Refused
from tests.hexhub import hubs
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

PASSPHRASE = "correct horse battery"
NEW_SECRET = "n" * 64


async def backup(hub: TestHub, path: Path, **options: object) -> Path:
    given = {"passphrase": PASSPHRASE, **options}
    await write.to_file(path, write.stream(hub.hub.backup_source(), **given))  # type: ignore[arg-type]
    return path


async def bring_back(path: Path, folder: Path, *, root: bytes | None = None) -> bytes:
    """Restore a backup into a folder's data directory; the root secret of the new hub."""
    header, wrapped = read.beginning(path)
    old = read.root_of(header, wrapped, PASSPHRASE)
    assert old is not None
    loaded = config.load({"DATA_DIR": str(folder / "data")}, checkout=folder)
    loaded.data_dir.mkdir(parents=True, exist_ok=True)
    storage = await parts.open_storage(loaded)
    try:
        target = restore.Target(
            data_dir=loaded.data_dir, node="hex_hub1", storage=storage, root=root or old
        )
        await restore.restore(path, header, old, target, lambda size: None)
    finally:
        await storage.close()
    return root or old


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with hubs.running(tmp_path / "old") as hub:
        mara = await hub.user("mara")
        for version in ("1.0.0", "1.1.0"):
            assert (await mara.publish(package("decimal", version))).status == 201
        yield hub


async def test_a_restored_hub_has_the_same_key_people_and_bytes(
    filled: TestHub, tmp_path: Path
) -> None:
    mara = await filled.user("nils", password="correct horse battery")
    paths = ("/names", "/packages/decimal", "/tarballs/decimal-1.1.0.tar", "/public_key")
    before = {path: (await filled.nobody.get(path)).body for path in paths}
    path = await backup(filled, tmp_path / "b.tar.gz")
    assert read.verify(path).objects == 2
    root = await bring_back(path, tmp_path / "new", root=NEW_SECRET.encode())
    async with hubs.running(tmp_path / "new", secret_key_base=root.decode()) as hub:
        assert hub.hub.fingerprint == filled.hub.fingerprint
        assert {path: (await hub.nobody.get(path)).body for path in paths} == before
        assert mara.authorization is not None
        same = hubs.Person(hub, "nils", mara.authorization)
        assert (await same.get("/api/users/me")).value["username"] == "nils"
        assert (await same.publish(package("after", "1.0.0"))).status == 201


async def test_what_is_published_while_a_backup_runs_does_not_tear_it(
    filled: TestHub, tmp_path: Path
) -> None:
    mara = await filled.user("olga")
    pieces = write.stream(filled.hub.backup_source(), passphrase=PASSPHRASE)
    first = await anext(pieces)
    assert (await mara.publish(package("later", "1.0.0"))).status == 201

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    await write.to_file(tmp_path / "b", rest())
    root = await bring_back(tmp_path / "b", tmp_path / "new")
    async with hubs.running(tmp_path / "new", secret_key_base=root.decode()) as hub:
        assert (await hub.nobody.get("/api/packages/later")).status == 404
        assert (await hub.nobody.get("/api/packages/decimal")).status == 200


async def test_a_backup_of_tables_alone_holds_no_objects(filled: TestHub, tmp_path: Path) -> None:
    checked = read.verify(await backup(filled, tmp_path / "b", tables_only=True))
    assert checked.objects == 0
    assert checked.header.tables_only


async def test_a_missing_object_is_named_and_the_rest_is_kept(
    filled: TestHub, tmp_path: Path
) -> None:
    kept = sorted((filled.folder / "data/storage").glob("??/*"))
    kept[0].unlink()
    checked = read.verify(await backup(filled, tmp_path / "b"))
    assert checked.manifest.missing == (kept[0].name,)
    assert checked.objects == 1


async def test_secrets_open_with_the_passphrase_and_nothing_else(
    filled: TestHub, tmp_path: Path
) -> None:
    path = await backup(filled, tmp_path / "b")
    header, wrapped = read.beginning(path)
    assert read.root_of(header, wrapped, PASSPHRASE) == filled.hub.root
    with pytest.raises(NotWhole, match="passphrase"):
        read.root_of(header, wrapped, "another passphrase")
    with pytest.raises(NotWhole, match="--passphrase-file"):
        read.root_of(header, wrapped, None)
    read.prove(header, filled.hub.root)
    with pytest.raises(NotWhole, match="SECRET_KEY_BASE"):
        read.prove(header, b"x" * 32)
    assert filled.hub.root not in path.read_bytes()


async def test_a_backup_without_secrets_holds_none(filled: TestHub, tmp_path: Path) -> None:
    path = await backup(filled, tmp_path / "b", passphrase=None)
    header, wrapped = read.beginning(path)
    assert (header.secrets, wrapped) == ("none", None)
    with tarfile.open(path) as opened:
        assert "secret" not in opened.getnames()
    read.prove(header, filled.hub.root)


async def test_a_fingerprint_that_is_not_the_key_s_is_refused_before_anything_is_written(
    filled: TestHub, tmp_path: Path
) -> None:
    import msgspec

    path = await backup(filled, tmp_path / "b")
    header, _ = read.beginning(path)
    wrong = msgspec.structs.replace(header, fingerprint="SHA256:other")
    with pytest.raises(NotWhole, match="SHA256:other"):
        read.prove(wrong, filled.hub.root)


async def test_a_restore_needs_an_empty_directory(filled: TestHub, tmp_path: Path) -> None:
    path = await backup(filled, tmp_path / "b")
    before = sorted(str(each) for each in (filled.folder / "data").rglob("*"))
    with pytest.raises(NotWhole, match="already holds a hub"):
        await bring_back(path, filled.folder)
    assert sorted(str(each) for each in (filled.folder / "data").rglob("*")) == before


@pytest.mark.parametrize("step", [0, 1, 2, 3])
async def test_a_restore_that_was_cut_off_starts_no_node_and_can_be_run_again(
    filled: TestHub, tmp_path: Path, step: int
) -> None:
    path = await backup(filled, tmp_path / "b")
    header, wrapped = read.beginning(path)
    old = read.root_of(header, wrapped, PASSPHRASE)
    assert old is not None
    folder = tmp_path / "new"
    loaded = config.load(
        {"DATA_DIR": str(folder / "data"), "SECRET_KEY_BASE": old.decode()}, checkout=folder
    )
    loaded.data_dir.mkdir(parents=True)
    storage = await parts.open_storage(loaded)
    target = restore.Target(data_dir=loaded.data_dir, node="hex_hub1", storage=storage, root=old)
    seen = 0

    def die(size: int) -> None:
        nonlocal seen
        seen += 1
        if seen > step:
            raise KeyError("as a crash would end it")

    with pytest.raises(KeyError):
        await restore.restore(path, header, old, target, die)
    with pytest.raises(Refused, match="cut off"):
        async with app.open_hub(loaded):
            pass
    await restore.restore(path, header, old, target, lambda size: None)
    await storage.close()
    async with app.open_hub(loaded) as hub:
        assert hub.fingerprint == filled.hub.fingerprint


# --- what is not whole


@pytest.fixture
async def whole(filled: TestHub, tmp_path: Path) -> bytes:
    return (await backup(filled, tmp_path / "whole")).read_bytes()


@hypothesis_settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(cut=st.booleans(), millionths=st.integers(0, 999_999), bits=st.integers(1, 255))
def test_a_backup_that_was_cut_or_changed_is_refused(
    whole: bytes, tmp_path: Path, cut: bool, millionths: int, bits: int
) -> None:
    body = bytearray(whole)
    place = len(body) * millionths // 1_000_000
    if cut:
        body = body[:place]
    else:
        # The ten bytes of gzip's head, and the padding behind the tar's end, say nothing.
        place = max(10, place)
        body[place] ^= bits
    path = tmp_path / "broken"
    path.write_bytes(body)
    try:
        checked = read.verify(path)
    except NotWhole:
        return
    path.write_bytes(whole)
    assert checked == read.verify(path)  # only bytes that carry nothing were hit


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for info, body in members:
            info.size = len(body)
            made.addfile(info, io.BytesIO(body))
    return path


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../escape"),
        tarfile.TarInfo("/etc/cron.d/x"),
        tarfile.TarInfo("objects/../../x"),
        tarfile.TarInfo("tables/META"),
        link("header.json"),
    ],
)
def test_a_stranger_s_archive_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    path = archive(tmp_path / "x", (member, b"x"))
    for look in (read.verify, read.beginning):
        with pytest.raises(NotWhole):
            look(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no backup")
    with pytest.raises(NotWhole):
        read.verify(tmp_path / "x")


def test_a_locked_secret_that_was_changed_does_not_open() -> None:
    locked = secret.lock(b"r" * 32, PASSPHRASE, b"s" * 16, b"n" * 12)
    assert secret.unlock(locked, PASSPHRASE) == b"r" * 32
    with pytest.raises(NotWhole):
        secret.unlock(locked[:-1] + bytes([locked[-1] ^ 1]), PASSPHRASE)


# --- by the clock


async def test_scheduled_backups_are_made_when_due_and_the_newest_are_kept(
    filled: TestHub, tmp_path: Path
) -> None:
    def schedule() -> Schedule:
        return Schedule(
            folder=tmp_path / "kept",
            every=timedelta(hours=6),
            keep=2,
            passphrase=PASSPHRASE,
            tables_only=False,
        )

    made = []
    for _ in range(4):
        assert schedule().due(filled.clock())
        made.append(await schedule().once(filled.hub.backup_source()))
        assert not schedule().due(filled.clock())
        filled.clock.ahead += timedelta(hours=6, seconds=1)
    assert sorted((tmp_path / "kept").iterdir()) == made[2:]
    for path in made[2:]:
        read.verify(path)
    (tmp_path / "kept/notes.txt").write_text("not ours")
    await schedule().once(filled.hub.backup_source())
    assert (tmp_path / "kept/notes.txt").exists()


async def test_a_backup_that_failed_leaves_no_file(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await write.to_file(tmp_path / "b", broken())
    assert os.listdir(tmp_path) == []
