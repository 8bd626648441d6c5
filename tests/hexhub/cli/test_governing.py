"""Commands about members, removal, policies, advisories, networks, notices and the audit log."""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest_asyncio

from tests.hexhub.cli.commands import Node, operated
from tests.hexhub.formats.test_osv import advisory
from tests.hexhub.hubs import Person
from tests.hexhub.packages import package

DONE, USAGE, NOT_FOUND, RULE = 0, 2, 3, 5


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A hub whose operator's socket is open."""
    async with operated(tmp_path / "node") as opened:
        yield opened


@pytest_asyncio.fixture
async def mara(node: Node) -> Person:
    """The administrator of the organization forest, with a package here and there."""
    mara = await node.hub.user("mara")
    await node.hub.user("olaf")
    await node.hub.organization("forest", mara)
    assert (await mara.publish(package("acorn"))).status == 201
    assert (await mara.publish(package("oak"), repository="forest")).status == 201
    return mara


async def test_members_come_change_and_go(node: Node, mara: Person) -> None:
    added = await node("org", "member", "add", "forest", "olaf", "--role", "write")
    assert (added.code, added.out) == (DONE, "olaf may write in forest\n")
    changed = await node("org", "member", "role", "forest", "olaf", "admin", "--json")
    assert json.loads(changed.out)["role"] == "admin"
    listed = await node("org", "member", "list", "forest", "--json")
    assert [row["username"] for row in json.loads(listed.out)] == ["mara", "olaf"]
    assert (await node("org", "member", "remove", "forest", "olaf")).code == DONE

    last = await node("org", "member", "remove", "forest", "mara")
    assert (last.code, last.err) == (RULE, "hexhub: cannot remove last member\n")
    assert (await node("org", "member", "list", "nowhere")).code == NOT_FOUND


async def test_a_package_and_a_version_are_removed_for_a_reason(node: Node, mara: Person) -> None:
    await mara.publish(package("acorn", "2.0.0"))

    assert (await node("package", "remove", "hexpm/acorn", "2.0.0")).code == USAGE
    done = await node("package", "remove", "hexpm/acorn", "2.0.0", "--reason", "a secret in it")
    assert done.out == "version 2.0.0 of hexpm/acorn is removed and stays reserved\n"
    assert (await node.hub.nobody.get("/api/packages/acorn/releases/2.0.0")).status == 404
    whole = await node("package", "remove", "hexpm/acorn", "--reason", "malware")
    assert whole.code == DONE
    assert (await node.hub.nobody.get("/packages/acorn")).status == 404
    assert (await node("package", "remove", "acorn", "--reason", "x")).code == USAGE
    gone = await node("package", "remove", "hexpm/acorn", "--reason", "x")
    assert (gone.code, gone.err) == (NOT_FOUND, "hexhub: not found\n")


async def test_a_package_moves(node: Node, mara: Person) -> None:
    moved = await node("package", "move", "hexpm/acorn", "forest")
    assert moved.out == "hexpm/acorn is now forest/acorn\n"
    assert (await node.hub.nobody.get("/packages/acorn")).status == 404
    assert (await mara.get("/repos/forest/packages/acorn")).status == 200


async def test_an_organization_is_looked_at_before_it_goes(node: Node, mara: Person) -> None:
    assert (await node("org", "delete", "forest")).code == USAGE
    look = await node("org", "delete", "forest", "--dry-run")
    assert "packages: oak" in look.out
    assert "members: mara" in look.out
    assert (await mara.get("/api/orgs/forest")).status == 200

    done = await node("org", "delete", "forest", "--reason", "closed")

    assert done.code == DONE
    assert (await mara.get("/api/orgs/forest")).status == 404
    assert (await mara.get("/repos/forest/packages/oak")).status == 404


async def test_a_policy_is_put_from_a_file(node: Node, mara: Person, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    rules = {"repositories": [{"repository": "hexpm", "cooldown": "3d"}]}
    file.write_text(json.dumps(rules))

    assert (await node("policy", "put", "forest", "strict", str(file))).code == DONE
    assert "strict" in (await node("policy", "list", "forest")).out
    assert (await mara.get("/repos/forest/policies/strict")).status == 200
    file.write_text('{"visibility": "loud"}')
    wrong = await node("policy", "put", "forest", "strict", str(file))
    assert (wrong.code, wrong.err) == (RULE, "hexhub: visibility: is invalid\n")
    file.write_text("[")
    assert (await node("policy", "put", "forest", "strict", str(file))).code == RULE
    assert (await node("policy", "delete", "forest", "strict")).code == DONE
    assert (await node("policy", "delete", "forest", "strict")).code == NOT_FOUND


async def test_advisories_come_from_json_lines_and_zip(
    node: Node, mara: Person, tmp_path: Path
) -> None:
    lines = tmp_path / "osv.jsonl"
    lines.write_text("\n".join(json.dumps(advisory(id=f"EEF-{n}")) for n in range(3)))
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("EEF-9.json", json.dumps(advisory(id="EEF-9")))
        writer.writestr("README", "not an advisory")

    assert (await node("advisory", "import", str(lines))).out == "3 read, 3 new or changed\n"
    assert (await node("advisory", "import", str(archive))).out == "1 read, 1 new or changed\n"
    assert (await node("advisory", "import", str(archive))).out == "1 read, 0 new or changed\n"
    listed = json.loads((await node("advisory", "list", "--json")).out)
    assert [row["id"] for row in listed] == ["EEF-0", "EEF-1", "EEF-2", "EEF-9"]
    found = (await mara.get("/api/packages/acorn")).value["security_advisories"]
    assert len(found) == 4
    lines.write_text("no json")
    assert (await node("advisory", "import", str(lines))).code == RULE


async def test_networks_are_blocked_and_forgotten(node: Node) -> None:
    done = await node("network", "block", "192.0.2.0/24", "--reason", "a scanner")
    assert done.out == "192.0.2.0/24 is blocked\n"
    assert (await node("network", "unlimit", "198.51.100.7")).code == DONE
    listed = json.loads((await node("network", "list", "--json")).out)
    assert [(row["network"], row["rule"]) for row in listed] == [
        ("192.0.2.0/24", "blocked"),
        ("198.51.100.7/32", "unlimited"),
    ]
    assert (await node("network", "block", "everyone")).code == RULE
    assert (await node("network", "forget", "192.0.2.0/24")).code == DONE
    assert (await node("network", "forget", "192.0.2.0/24")).code == NOT_FOUND


async def test_a_notice_is_set_shown_and_cleared(node: Node) -> None:
    assert (await node("notice", "show")).out == "no notice is set\n"
    assert (await node("notice", "set", "down at 18:00")).out == "clients print: down at 18:00\n"
    answer = await node.hub.nobody.get("/api")
    assert answer.headers["X-Hex-Message"] == '"down at 18:00";level=warn'
    assert (await node("notice", "set", 'say "x"')).code == RULE
    assert (await node("notice", "show")).out == "down at 18:00\n"
    await node("notice", "clear")
    assert (await node("notice", "show")).out == "no notice is set\n"


async def test_the_audit_log_is_exported_and_verified(
    node: Node, mara: Person, tmp_path: Path
) -> None:
    await node("notice", "set", "hello")

    exported = await node("audit", "export")

    lines = [json.loads(line) for line in exported.out.splitlines()]
    assert [line["place"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(two["previous"] == one["hash"] for one, two in pairwise(lines))
    assert (lines[-1]["action"], lines[-1]["by"]) == ("notice.set", "operator")
    file = tmp_path / "log"
    file.write_text(exported.out)
    assert (
        await node("audit", "verify", str(file))
    ).out == f"{len(lines)} records, the chain holds\n"
    file.write_text(exported.out.replace("notice.set", "notice.get"))
    assert (await node("audit", "verify", str(file))).code == RULE
    assert (await node("audit", "export", "--since", "2999-01-01")).out == ""
    assert (await node("audit", "export", "--since", "soon")).code != DONE


async def test_a_quota_is_set_listed_and_taken_away(node: Node) -> None:
    assert (await node("quota", "list")).out == "no quotas\n"
    done = await node("quota", "set", "hexpm", "--bytes", "10G", "--packages", "500")
    assert (done.code, "of 10737418240 bytes" in done.out) == (0, True)
    (row,) = json.loads((await node("quota", "list", "--json")).out)
    assert (row["repository"], row["bytes"], row["packages"]) == ("hexpm", 10 << 30, 500)
    assert (await node("quota", "set", "no_such_org", "--packages", "1")).code == 3
    assert (await node("quota", "set", "hexpm", "--bytes", "lots")).code == 2
    assert (await node("quota", "set", "hexpm")).code == 2
    assert (await node("quota", "remove", "hexpm")).code == 0
    assert (await node("quota", "remove", "hexpm")).code == 3
