"""Commands about rules of repositories and kept copies, against a hub in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from tests.hexhub import faults, hubs
from tests.hexhub.cli.commands import Node, operated
from tests.hexhub.faults import Faults
from tests.hexhub.mirrors import mirror_settings
from tests.hexhub.packages import package

DONE, FAILED, USAGE, NOT_FOUND, RULE = 0, 1, 2, 3, 5
SUM = "0" * 64


@dataclass(frozen=True)
class Place:
    """A mirror, and what is between it and its upstream."""

    node: Node
    between: Faults
    data_dir: Path

    async def fetch(self, path: str) -> bytes:
        """Have a file kept, its bytes on the disk."""
        answer = await self.node.hub.nobody.get(f"/{path}")
        assert answer.status == 200, answer.body
        mirror = self.node.hub.hub.mirror
        assert mirror is not None
        await mirror.copies.landing(path)
        return answer.body


@pytest_asyncio.fixture
async def place(tmp_path: Path, upstream_keys: tuple[Path, Path]) -> AsyncIterator[Place]:
    """A mirror of an upstream with pine and oak, and a team with core at the mirror."""
    private = str(upstream_keys[0])
    async with hubs.running(tmp_path / "upstream", signing_key_file=private) as upstream:
        author = await upstream.user("author")
        for name in ("pine", "oak"):
            await author.publish(package(name))
        async with (
            faults.between(upstream.url) as between,
            operated(tmp_path / "node", **mirror_settings(between, upstream_keys)) as node,
        ):
            mara = await node.hub.user("mara")
            await node.hub.organization("acme", mara)
            assert (await mara.publish(package("core"), repository="acme")).status == 201
            assert (await mara.publish(package("open"))).status == 201
            yield Place(node, between, tmp_path / "node" / "data")


async def test_rules_are_set_told_and_taken_back_for_a_repository(place: Place) -> None:
    node = place.node
    said = await node("rules", "deny", "core", "--version", "< 2.0.0", "--repository", "acme")
    assert (said.code, said.out) == (DONE, "the rule 'deny core < 2.0.0' is on for acme\n")
    for arguments in (("cooldown", "1d"), ("allow", "ui"), ("retired",), ("advisory", "high")):
        assert (await node("rules", *arguments, "--repository", "acme")).code == DONE
    await node("rules", "deny", "pine")
    listed = json.loads((await node("rules", "list", "--json")).out)
    assert [row["repository"] for row in listed] == ["acme"] * 5 + ["hexpm"]
    assert "acme" in (await node("rules", "list")).out
    assert (await node("rules", "deny", "x", "--repository", "nowhere")).code == NOT_FOUND
    assert (await node("rules", "remove", "deny core < 2.0.0")).code == NOT_FOUND
    gone = await node("rules", "remove", "deny core < 2.0.0", "--repository", "acme")
    assert (gone.code, gone.out) == (DONE, "the rule 'deny core < 2.0.0' is off for acme\n")


async def test_a_release_is_explained_by_the_rules_of_its_repository(place: Place) -> None:
    node = place.node
    await node("rules", "deny", "*", "--repository", "acme")
    of_acme = await node("rules", "explain", "acme/core", "1.0.0")
    assert of_acme.out == "acme/core 1.0.0 refused by 'deny *': deny * matches\n"
    assert "passes" in (await node("rules", "explain", "pine", "1.0.0")).out
    await node("rules", "deny", "*")
    assert "refused" in (await node("rules", "explain", "hexpm/pine", "1.0.0")).out
    ours = await node("rules", "explain", "open", "1.0.0")
    assert "it is ours" in ours.out
    assert (await node("rules", "explain", "nowhere/core", "1.0.0")).code == NOT_FOUND


async def test_a_lock_file_is_judged_release_by_release_by_repository(
    place: Place, tmp_path: Path
) -> None:
    lock = tmp_path / "mix.lock"
    rows = (("pine", "hexpm"), ("core", "hub:acme"), ("far", "elsewhere"))
    lock.write_text(
        "%{\n"
        + "".join(
            f'  "{name}": {{:hex, :{name}, "1.0.0", "{SUM}", [:mix], [], "{where}", "{SUM}"}},\n'
            for name, where in rows
        )
        + "}\n"
    )
    node = place.node
    assert (await node("rules", "test", "--lock", str(lock))).code == DONE
    for options, refused in (
        (("--cooldown", "7d"), "pine"),
        (("--cooldown", "7d", "--repository", "acme"), "core"),
    ):
        tried = await node("rules", "test", "--lock", str(lock), *options)
        assert (tried.code, tried.err) == (RULE, "hexhub: 1 of 2 releases would be refused\n")
        (line,) = [line for line in tried.out.splitlines() if "refused by" in line]
        assert refused in line
        assert "not of this hub" in tried.out
    assert (await node("rules", "list")).out == "no rules\n"


async def test_what_rules_hold_back_is_not_fetched_ahead_and_the_exit_code_tells(
    place: Place, tmp_path: Path
) -> None:
    lock = tmp_path / "rebar.lock"
    lock.write_text(
        '{"1.2.0",\n[{<<"oak">>,{pkg,<<"oak">>,<<"1.0.0">>},0},\n'
        ' {<<"open">>,{pkg,<<"open">>,<<"1.0.0">>},0},\n'
        ' {<<"pine">>,{pkg,<<"pine">>,<<"1.0.0">>},0}]}.\n'
    )
    node = place.node
    await node("rules", "deny", "oak")
    for fetched in (True, False):
        added = await node("mirror", "add", "--lock", str(lock), "--json")
        assert added.code == RULE
        value = json.loads(added.out)
        assert (value["refused"], value["skipped"]) == (1, 1)
        states = {row["path"]: (row["status"], row["why"]) for row in value["files"]}
        assert "deny oak" in states["tarballs/oak-1.0.0.tar"][1]
        assert states["packages/open"] == ("skipped", "it is ours")
        assert states["tarballs/pine-1.0.0.tar"][0] == ("fetched" if fetched else "had")
    assert place.between.requests["/tarballs/oak-1.0.0.tar"] == 0
    await node("rules", "remove", "deny oak")
    assert (await node("mirror", "add", "--lock", str(lock))).code == DONE
    place.between.fault = "reset"
    await node("mirror", "evict", "oak")
    assert (await node("mirror", "add", "--lock", str(lock))).code == FAILED


async def test_a_copy_that_was_damaged_is_found_evicted_and_fetched_again(place: Place) -> None:
    node, path = place.node, "tarballs/pine-1.0.0.tar"
    body = await place.fetch(path)
    assert (await node("mirror", "verify")).out.endswith("0 damaged\n")
    (file,) = [each for each in place.data_dir.rglob("*") if each.is_file() and _is(each, body)]
    file.chmod(0o644)
    file.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    found = await node("mirror", "verify")
    assert found.code == FAILED
    assert path in found.out
    assert "1 damaged" in found.out
    dry = await node("mirror", "evict", "--path", path, "--dry-run", "--json")
    assert [row["path"] for row in json.loads(dry.out)] == [path]
    assert (await node("mirror", "evict", "--path", path)).code == DONE
    assert (await node("mirror", "show", "pine")).out.count(path) == 0
    file.unlink()
    again = await node.hub.nobody.get(f"/{path}")
    assert (again.body, again.headers["X-Cache"]) == (body, "MISS")
    assert (await node("mirror", "evict", "--path", "tarballs/none-1.0.0.tar")).code == NOT_FOUND
    assert (await node("mirror", "evict")).code == USAGE


def _is(file: Path, body: bytes) -> bool:
    return file.stat().st_size == len(body) and file.read_bytes() == body


async def test_what_is_longest_unused_goes_first_and_the_registry_stays(place: Place) -> None:
    node = place.node
    for name in ("pine", "oak"):
        await place.fetch(f"tarballs/{name}-1.0.0.tar")
    node.hub.clock.ahead = timedelta(hours=2)
    await node.hub.nobody.get("/tarballs/pine-1.0.0.tar")
    rows = json.loads((await node("mirror", "show", "pine", "--json")).out)
    (size,) = [row["size"] for row in rows if row["path"].startswith("tarballs/")]
    mirror = node.hub.hub.mirror
    assert mirror is not None
    over = await mirror.over_quota(size)
    assert [row.path for row in over] == ["tarballs/oak-1.0.0.tar"]
    gone = json.loads((await node("mirror", "evict", "--quota", "0", "--json")).out)
    assert {row["path"].partition("/")[0] for row in gone} == {"tarballs"}
    left = json.loads((await node("mirror", "show", "oak", "--json")).out)
    assert [row["path"] for row in left] == ["packages/oak"]


async def test_stats_tell_what_was_answered_refused_and_asked(place: Place) -> None:
    node = place.node
    await node("rules", "deny", "oak")
    await node.hub.nobody.get("/tarballs/oak-1.0.0.tar")
    await node.hub.nobody.get("/packages/pine")
    place.between.fault = "html"
    assert (await node.hub.nobody.get("/tarballs/pine-1.0.0.tar")).status == 502
    value = json.loads((await node("mirror", "stats", "--json")).out)
    assert value["refused"] == {"deny": 1}
    # The tarball, and the registry, which was asked whether the tarball has changed.
    assert value["answers"]["refused"] == value["upstream"]["requests"]["wrong"] == 2
    metrics = (await node.hub.nobody.get("/metrics")).body.decode().splitlines()
    assert 'hexhub_mirror_refused_total{kind="deny"} 1.0' in metrics
    assert 'hexhub_mirror_answers_total{state="refused"} 2.0' in metrics
    shown = (await node("mirror", "stats")).out
    assert "refused   1 deny" in shown
