"""Administration that reaches further: upstream, kept packages, storage, backups, work behind it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hexhub.domain import jobs
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Clash, StorageFull
from hexhub.jobs import Progress
from hexhub.repositories import verification
from hexhub.schema import AuditRecord, Job, Kept
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs, mirrors
from tests.hexhub.browser import Browser, Page
from tests.hexhub.mirrors import Pair

PASSWORD = "a good password"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Place:
    """A mirror with backups, its upstream, and an administrator at a browser."""

    pair: Pair
    root: Browser
    folder: Path

    @property
    def hub(self) -> Any:
        return self.pair.hub.hub

    async def press(self, page: str, action: str, *without: str, **typed: str) -> Page:
        """Press a button, and see where it leads."""
        sent = await self.root.send(page, action, *without, **typed)
        return await self.root.open(sent.location) if sent.status == 303 else sent

    async def worked(self, page: Page) -> Page:
        """The page of background work, once it has ended."""
        id = page.address.rpartition("/")[2]

        def ended() -> bool:
            with self.hub.store.view() as view:
                return bool(jobs.find(view, id).state != "running")

        await self.pair.hub.settled(ended)
        return await self.root.get(page.address)

    def audited(self, action: str) -> list[AuditRecord]:
        with self.hub.store.view() as view:
            found = view.scan(AuditRecord, reverse=True)
            return [row for row in found if row.action == action and row.by == "user:root"]

    def kept(self) -> set[str]:
        with self.hub.store.view() as view:
            return {row.path for row in view.scan(Kept)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(
    tmp_path_factory: pytest.TempPathFactory, upstream_keys: tuple[Path, Path]
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    async with mirrors.mirroring(
        folder, upstream_keys, hexhub_backup_dir=str(folder / "backups")
    ) as pair:
        await pair.hub.user("root", password=PASSWORD, admin=True)
        browser = Browser(pair.hub)
        await browser.sign_in("root", PASSWORD)
        for name in ("elm", "fir", "oak"):
            await pair.publish(name, "1.0.0")
        yield Place(pair, browser, folder)
        assert not pair.hub.faults, pair.hub.faults[0]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _three_kept(place: Place) -> None:
    """Every test begins with three packages of the upstream kept, and the upstream there."""
    place.pair.between.fault = None
    for name in ("elm", "fir", "oak"):
        assert (await place.pair.get(f"/tarballs/{name}-1.0.0.tar")).status == 200
    # Answered from memory while the bytes are on their way to the disk, and the rows after them.
    await place.pair.hub.settled(lambda: place.hub.mirror.mirrored.under_way == 0)
    await place.hub.mirror.copies.flush()


async def test_what_is_kept_is_listed_by_package_and_version(place: Place) -> None:
    listed = (await place.root.get("/admin/kept")).text
    assert all(f"/admin/kept/{name}" in listed for name in ("elm", "fir", "oak"))
    found = (await place.root.get("/admin/kept?q=el")).text
    assert "/admin/kept/elm" in found
    assert "/admin/kept/oak" not in found
    shown = (await place.root.get("/admin/kept/elm")).text
    assert "1.0.0" in shown
    assert "packages/elm" in shown
    assert (await place.root.get("/admin/kept/nothing")).status == 404


async def test_kept_packages_are_evicted_by_background_work(place: Place) -> None:
    begun = await place.press("/admin/kept", "/admin/kept/refresh")
    assert begun.status == 422  # nothing was ticked
    token = (await place.root.get("/admin/kept")).form("/admin/kept/refresh").fields["csrf"]
    sent = await place.root.post(
        "/admin/kept/evict", {"csrf": token, "package:elm": "on", "package:oak": "on"}
    )
    page = await place.worked(Page(sent.location, sent.answer))
    assert "2 of 2 packages" in page.text
    assert not {path for path in place.kept() if "elm" in path or "oak" in path}
    assert "tarballs/fir-1.0.0.tar" in place.kept()
    assert "Evict kept packages" in (await place.root.get("/admin/jobs")).text
    assert place.audited("mirror.evict")


async def test_all_that_match_are_refreshed_and_failures_are_told(place: Place) -> None:
    refreshed = await place.press("/admin/kept", "/admin/kept/refresh", all="on", q="elm")
    page = await place.worked(refreshed)
    assert "1 of 1 package" in page.text
    assert "none had changed" in page.text
    await place.pair.publish("elm", "1.1.0")
    again = await place.worked(
        await place.press("/admin/kept", "/admin/kept/refresh", all="on", q="elm")
    )
    assert "changed at the upstream" in again.text
    await place.press("/admin/upstream", "/admin/upstream", paused="on")
    failed = await place.worked(
        await place.press("/admin/kept", "/admin/kept/refresh", all="on", q="fir")
    )
    assert "1 failure" in failed.text
    assert "the upstream did not answer" in failed.text
    await place.press("/admin/upstream", "/admin/upstream", "paused")


async def test_one_version_is_evicted_at_once(place: Place) -> None:
    sent = await place.root.send("/admin/kept/fir", "/admin/kept/fir/forget", version="1.0.0")
    assert sent.status == 303
    assert "tarballs/fir-1.0.0.tar" not in place.kept()
    assert "packages/fir" in place.kept()


async def test_a_package_that_an_own_one_shadows_is_marked(place: Place) -> None:
    published = await place.pair.mara.publish(tarball("oak", "0.1.0", {"README.md": b"ours"}))
    assert published.status == 422  # the guard: the upstream has it
    await place.press(
        "/admin/names", "/admin/names/allow", repository="hexpm", name="oak", wins="own"
    )
    assert (
        await place.pair.mara.publish(tarball("oak", "0.1.0", {"README.md": b"ours"}))
    ).status == 201
    assert "shadowed by a package here" in (await place.root.get("/admin/kept")).text
    assert "hexpm/oak is published here" in (await place.root.get("/admin/kept/oak")).text
    taken = await place.press(
        "/admin/packages/hexpm/oak",
        "/admin/packages/hexpm/oak/remove",
        reason="it was a test",
        confirm="oak",
    )
    assert taken.address == "/admin/packages"
    assert place.audited("package.remove")


async def test_the_upstream_is_asked_now_and_its_signature_is_looked_at(place: Place) -> None:
    asked = await place.press("/admin/upstream", "/admin/upstream/test")
    assert "3 names, signature verified with SHA256:" in asked.text
    assert asked.text.count("signature verified with SHA256:") == 2
    assert "a document of the API" in asked.text


async def test_an_upstream_with_another_key_is_not_believed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.hub.mirror.believed, "public_key", verification.hexpm_key())
    asked = await place.press("/admin/upstream", "/admin/upstream/test")
    assert "not believed" in asked.text
    assert "signature verified" not in asked.text


async def test_settings_of_the_mirror_hold_at_once_and_are_audited(place: Place) -> None:
    wrong = await place.press("/admin/upstream", "/admin/upstream", wait="70000", quota="much")
    assert wrong.status == 422
    assert wrong.text.count('class="wrong"') == 2
    assert 'value="70000"' in wrong.text
    await place.press("/admin/upstream", "/admin/upstream", paused="on", connections="3")
    await place.pair.publish("new", "1.0.0")
    assert (await place.pair.get("/tarballs/new-1.0.0.tar")).status in (502, 503, 504)
    assert "Paused" in (await place.root.get("/admin/upstream")).text
    assert "connections 3" in place.audited("mirror.settings")[0].params["said"]
    await place.press("/admin/upstream", "/admin/upstream", "paused", connections="")
    place.pair.hub.clock.ahead += 10 * place.pair.hub.minute  # a failure is remembered for a while
    assert (await place.pair.get("/tarballs/new-1.0.0.tar")).status == 200


async def test_the_storage_is_tried_out_and_nothing_stays_of_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.pair.hub.traces()
    tried = await place.press("/admin/storage", "/admin/storage/test")
    assert "It works" in tried.text
    assert "written" in tried.text
    assert "deleted" in tried.text
    assert place.pair.hub.traces() == before

    async def full(spooled: object) -> None:
        raise StorageFull("no space left to store this")

    monkeypatch.setattr(place.hub.storage, "put", full)
    failed = await place.press("/admin/storage", "/admin/storage/test")
    assert "It does not work" in failed.text
    assert "no space left" in failed.text


async def test_stored_objects_are_counted_in_the_background(place: Place) -> None:
    page = await place.worked(await place.press("/admin/storage", "/admin/storage/count"))
    count = len([path for path in place.pair.hub.traces() if path.startswith("storage/")])
    assert f"{count} objects" in page.text


async def test_a_backup_is_made_listed_verified_and_given(place: Place) -> None:
    made = await place.worked(await place.press("/admin/backups", "/admin/backups/new"))
    (file,) = re.findall(r"hexhub-\d{8}T\d{6}Z\.tar\.gz", made.text)
    path = place.folder / "backups" / file
    listed = (await place.root.get("/admin/backups")).text
    assert file in listed
    assert "the newest 7 files kept" in listed
    assert listed.count("badge good") == 1  # what came of it, for all nodes to tell
    verified = await place.worked(
        await place.press("/admin/backups", "/admin/backups/verify", file=file)
    )
    assert "Whole:" in verified.text
    given = await place.root.send("/admin/backups", "/admin/backups/download", file=file)
    assert given.answer.body == path.read_bytes()
    assert file in given.answer.headers["Content-Disposition"]
    assert place.audited("backup.download")
    for name in ("../data/secret", "hexhub-20200101T000000Z.tar.gz"):
        refused = await place.root.send("/admin/backups", "/admin/backups/download", file=name)
        assert refused.status == 404
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cut = await place.worked(
        await place.press("/admin/backups", "/admin/backups/verify", file=file)
    )
    assert "badge bad" in cut.text
    assert "cannot be read as a backup" in cut.text


async def test_work_tells_how_far_it_is_and_can_be_stopped(place: Place) -> None:
    going, never = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> str:
        progress.step(3, note="three are done")
        going.set()
        await never.wait()
        return "never"

    begin = place.hub.jobs.begin
    id = await begin(OPERATOR, "mirror.refresh", "everything", work, total=10, unit="package")
    await going.wait()
    with pytest.raises(Clash):
        await begin(OPERATOR, "mirror.refresh", "everything", work)

    def told() -> bool:
        with place.hub.store.view() as view:
            return bool(jobs.find(view, id).done == 3)

    await place.pair.hub.settled(told)
    page = await place.root.get(f"/admin/jobs/{id}")
    assert "3 of 10 packages" in page.text
    assert "three are done" in page.text
    assert f'data-live="/admin/jobs/{id}/live"' in page.text
    live = asyncio.create_task(place.root.get(f"/admin/jobs/{id}/live"))
    await place.press(f"/admin/jobs/{id}", f"/admin/jobs/{id}/stop")
    events = [json.loads(line) for line in re.findall(r"^data: (.*)$", (await live).text, re.M)]
    assert events[0]["share"] == 0.3
    assert events[-1]["ended"] is True
    page = await place.root.get(f"/admin/jobs/{id}")
    assert "stopped" in page.text
    assert "data-live" not in page.text


async def test_work_of_a_node_that_fell_silent_counts_as_broken_off(place: Place) -> None:
    long_ago = place.hub.now() - 2 * jobs.SILENT
    row = Job(id="0-gone", kind="backup.create", node="gone", started_at=long_ago, seen_at=long_ago)
    await place.hub.store.transact(jobs.begin, OPERATOR, row)
    page = await place.root.get("/admin/jobs/0-gone")
    assert "broken off" in page.text
    assert "gone stopped while it did this" in page.text
    assert (await place.root.get("/admin/jobs/nothing")).status == 404


async def test_only_the_newest_work_is_remembered(place: Place) -> None:
    now = place.hub.now()
    for number in range(jobs.KEPT + 3):
        row = Job(
            id=f"0{number:04d}-old",
            kind="backup.verify",
            about=str(number),
            node="old",
            state="done",
            started_at=now,
            seen_at=now,
        )
        await place.hub.store.transact(jobs.begin, OPERATOR, row)
    with place.hub.store.view() as view:
        assert view.count(Job) == jobs.KEPT


async def test_work_that_fails_says_why_and_what_nobody_foresaw_is_no_crash(place: Place) -> None:
    async def fails(progress: Progress) -> str:
        raise StorageFull("no space left")

    async def crashes(progress: Progress) -> str:
        raise ZeroDivisionError

    for work, said in ((fails, "no space left"), (crashes, "Something unforeseen")):
        id = await place.hub.jobs.begin(OPERATOR, "storage.count", said, work)
        page = await place.worked(Page(f"/admin/jobs/{id}", (await place.root.get("/")).answer))
        assert said in page.text
        assert "badge bad" in page.text


async def test_settings_of_the_mirror_are_there_after_a_restart(tmp_path: Path) -> None:
    settings = {"upstream_enabled": "true", "upstream_repo_url": "http://127.0.0.1:1"}
    async with hubs.running(tmp_path, **settings) as hub:
        await hub.user("root", password=PASSWORD, admin=True)
        browser = Browser(hub)
        await browser.sign_in("root", PASSWORD)
        await browser.send("/admin/upstream", "/admin/upstream", paused="on", quota="5000")
    async with hubs.running(tmp_path, **settings) as hub:
        assert b"an administrator paused it" in (await hub.nobody.get("/packages/elm")).body
        assert hub.hub.mirror is not None
        assert hub.hub.mirror.quota == 5000
