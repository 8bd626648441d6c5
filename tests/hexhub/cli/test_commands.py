"""The commands of the operator: what they print, and how they end (issue 2, item 6)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from hexhub import __version__
from hexhub.schema import AuditRecord
from tests.hexhub.cli.commands import Node, operated, run
from tests.hexhub.hubs import Person
from tests.hexhub.packages import package

pytestmark = pytest.mark.asyncio(loop_scope="module")

DONE, FAILED, USAGE, NOT_FOUND, RULE, NO_NODE = 0, 1, 2, 3, 5, 6
PASSWORD = "a good password"

numbers = count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A hub whose operator's socket is open."""
    async with operated(tmp_path_factory.mktemp("node")) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    """A name that nothing has."""
    return f"name_{next(numbers)}"


async def _user(node: Node, name: str, *more: str) -> None:
    done = await node(
        "user",
        "create",
        name,
        "--email",
        f"{name}@example.org",
        "--password-stdin",
        *more,
        stdin=PASSWORD + "\n",
    )
    assert done.code == DONE, done


async def test_an_account_with_a_password_can_sign_in_and_is_verified(
    node: Node, name: str
) -> None:
    await _user(node, name)
    answer = await node.hub.basic(name, PASSWORD).get("/api/users/me")
    assert (answer.status, answer.value["email"]) == (200, f"{name}@example.org")


@pytest.mark.parametrize("stdin", [PASSWORD, PASSWORD + "\n", PASSWORD + "\r\n"])
async def test_a_password_is_the_first_line_without_its_end(
    node: Node, name: str, stdin: str
) -> None:
    arguments = ["user", "create", name, "--email", f"{name}@example.org", "--password-stdin"]
    assert (await node(*arguments, stdin=stdin)).code == DONE
    assert (await node.hub.basic(name, PASSWORD).get("/api/users/me")).status == 200


async def test_an_account_without_a_password_gets_a_link_that_works_once(
    node: Node, name: str
) -> None:
    done = await node("user", "create", name, "--email", f"{name}@example.org")
    link = re.search(r"http://\S+", done.out)
    assert link is not None
    path = link[0].removeprefix("http://localhost:4000")
    assert path.startswith("/password/new?")
    assert (await node.hub.nobody.get(path)).status == 200
    key = re.search(r"key=([^&]+)", path)
    assert key is not None
    form = f"key={key[1]}&password=a+new+password".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for status in (200, 404):
        answer = await node.hub.nobody.post("/password/new", data=form, headers=headers)
        assert answer.status == status
    assert (await node.hub.basic(name, "a new password").get("/api/users/me")).status == 200
    assert (await node.hub.nobody.get(path)).status == 404


async def test_accounts_are_listed_as_table_and_as_json(node: Node, name: str) -> None:
    await _user(node, name, "--admin")
    table = (await node("user", "list")).out
    line = next(line for line in table.splitlines() if line.startswith(name))
    assert line.split() == [name, f"{name}@example.org", "admin"]
    listed = json.loads((await node("user", "list", "--json")).out)
    mine = next(entry for entry in listed if entry["username"] == name)
    assert mine["admin"] is True
    assert mine["disabled"] is False
    assert mine["password"] is True
    assert not {"password_hash", "secret"} & set(mine)


async def test_an_account_is_disabled_with_its_keys_and_enabled_again(
    node: Node, name: str
) -> None:
    await _user(node, name)
    secret = (await node("key", "create", "laptop", "--user", name)).out.strip()
    key = Person(node.hub, None, secret)
    assert (await key.get("/api/users/me")).status == 200
    assert (await node("user", "disable", name)).code == DONE
    assert (await key.get("/api/users/me")).status == 401
    assert (await node.hub.basic(name, PASSWORD).get("/api/users/me")).status == 400
    assert (await node("user", "enable", name)).code == DONE
    assert (await node.hub.basic(name, PASSWORD).get("/api/users/me")).status == 200
    assert (await key.get("/api/users/me")).status == 401


async def test_a_password_is_set_or_linked(node: Node, name: str) -> None:
    await _user(node, name)
    done = await node("user", "password", name, "--password-stdin", stdin="another password\n")
    assert done.code == DONE
    assert (await node.hub.basic(name, PASSWORD).get("/api/users/me")).status == 401
    assert (await node.hub.basic(name, "another password").get("/api/users/me")).status == 200
    linked = await node("user", "password", name)
    assert "/password/new?" in linked.out


async def test_the_last_administrator_stays(node: Node, name: str) -> None:
    await _user(node, name, "--admin")
    others = [
        entry["username"]
        for entry in json.loads((await node("user", "list", "--json")).out)
        if entry["admin"] and entry["username"] != name
    ]
    for other in others:
        assert (await node("user", "admin", other, "--remove")).code == DONE
    for command in (("user", "admin", name, "--remove"), ("user", "disable", name)):
        refused = await node(*command)
        assert refused.code == RULE
        assert "last administrator" in refused.err
    for other in others:
        assert (await node("user", "admin", other)).code == DONE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "create", "ab", "--email", "a@example.org"), "username"),
        (("user", "create", "good_name", "--email", "nowhere"), "emails"),
        (("user", "create", "hexpm", "--email", "a@example.org"), "is reserved"),
        (("org", "create", "no", "--admin", "{user}"), "name"),
        (("org", "create", "phone-box", "--admin", "{user}"), "has invalid format"),
        (("key", "create", "k", "--user", "{user}", "--permission", "all"), "is invalid"),
        (
            ("key", "create", "k", "--user", "{user}", "--permission", "repository:none"),
            "you do not have access to this repository",
        ),
        (("key", "create", "k", "--user", "{user}", "--expires", "999999w"), "expires"),
        (("key", "create", "x" * 200, "--user", "{user}"), "name"),
    ],
)
async def test_what_a_rule_refuses_is_said_and_exits_with_5(
    node: Node, name: str, arguments: tuple[str, ...], said: str
) -> None:
    await _user(node, name)
    refused = await node(*(word.format(user=name) for word in arguments))
    assert refused.code == RULE
    assert said in refused.err
    assert refused.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "disable", "nobody_here"),
        ("user", "enable", "nobody_here"),
        ("user", "password", "nobody_here"),
        ("user", "admin", "nobody_here"),
        ("user", "disable", "a/b"),
        ("user", "disable", "../users"),
        ("user", "disable", ""),
        ("user", "disable", "x" * 600),
        ("key", "create", "k", "--user", "nobody_here"),
        ("key", "create", "k", "--org", "none_such"),
        ("key", "list", "--user", "nobody_here"),
        ("key", "revoke", "k", "--org", "none_such"),
        ("org", "create", "fine_name", "--admin", "nobody_here"),
    ],
)
async def test_what_is_not_there_exits_with_3(node: Node, arguments: tuple[str, ...]) -> None:
    missing = await node(*arguments)
    assert missing.code == NOT_FOUND
    assert missing.err.startswith("hexhub: ")
    assert missing.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("user", "create"),
        ("user", "create", "someone"),
        ("key", "create", "k"),
        ("key", "create", "k", "--user", "a", "--org", "b"),
        ("key", "create", "k", "--user", "a", "--expires", "soon"),
        ("key", "list"),
        ("user", "list", "--colour"),
        ("org", "create", "forest"),
    ],
)
async def test_wrong_usage_exits_with_2(node: Node, arguments: tuple[str, ...]) -> None:
    wrong = await node(*arguments)
    assert wrong.code == USAGE
    assert "Usage" in wrong.err


async def test_a_key_is_made_listed_and_revoked(node: Node, name: str) -> None:
    await _user(node, name)
    made = await node("key", "create", "laptop", "--user", name)
    assert re.fullmatch(r"[0-9a-f]{32}\n", made.out)
    assert made.err == ""
    key = Person(node.hub, None, made.out.strip())
    assert (await key.get("/api/users/me")).value["username"] == name
    listed = json.loads((await node("key", "list", "--user", name, "--json")).out)
    assert [(entry["name"], entry["permissions"]) for entry in listed] == [("laptop", ["api"])]
    assert made.out.strip() not in json.dumps(listed)
    assert "laptop" in (await node("key", "list", "--user", name)).out
    assert (await node("key", "revoke", "laptop", "--user", name)).code == DONE
    assert (await key.get("/api/users/me")).status == 401
    assert (await node("key", "revoke", "laptop", "--user", name)).code == NOT_FOUND


async def test_a_key_has_the_permissions_and_the_end_that_were_asked_for(
    node: Node, name: str
) -> None:
    await _user(node, name)
    await node("org", "create", f"org_{name}", "--admin", name)
    publisher = Person(
        node.hub, None, (await node("key", "create", "p", "--user", name)).out.strip()
    )
    await publisher.publish(package(f"pkg_{name}"))
    wanted = ["api:read", "repositories", f"repository:org_{name}", f"package:pkg_{name}"]
    options = [word for each in wanted for word in ("--permission", each)]
    made = await node("key", "create", "ci", "--user", name, *options, "--expires", "90d", "--json")
    key = json.loads(made.out)["key"]
    wanted[-1] = f"package:hexpm/pkg_{name}"
    assert key["permissions"] == wanted
    assert key["revoke_at"] > key["created_at"]
    caller = Person(node.hub, None, json.loads(made.out)["secret"])
    node.hub.clock.ahead += node.hub.minute * 60 * 24 * 89
    assert (await caller.get("/api/users/me")).status == 200
    node.hub.clock.ahead += node.hub.minute * 60 * 24 * 2
    assert (await caller.get("/api/users/me")).status == 401


async def test_an_organization_has_a_private_repository_and_keys(node: Node, name: str) -> None:
    await _user(node, name)
    org = f"org_{name}"
    assert (await node("org", "create", org, "--admin", name)).code == DONE
    assert (await node("org", "create", org, "--admin", name)).code == RULE
    secret = (
        await node("key", "create", "ci", "--org", org, "--permission", "repositories")
    ).out.strip()
    key = Person(node.hub, None, secret)
    assert (await key.get(f"/repos/{org}/names")).status == 200
    assert (await node.hub.nobody.get(f"/repos/{org}/names")).status == 404
    listed = json.loads((await node("org", "list", "--json")).out)
    mine = next(entry for entry in listed if entry["name"] == org)
    assert mine["members"] == {name: "admin"}
    assert f"{name}(admin)" in (await node("org", "list")).out
    assert (await node("key", "revoke", "ci", "--org", org)).code == DONE
    assert (await key.get(f"/repos/{org}/names")).status == 404


async def test_the_public_key_and_its_fingerprint_are_printed(node: Node) -> None:
    pem = await node("public-key")
    fingerprint = await node("public-key", "--fingerprint")
    both = json.loads((await node("public-key", "--json")).out)
    assert pem.out.encode() == (await node.hub.nobody.get("/public_key")).body
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}\n", fingerprint.out)
    assert both["fingerprint"] == fingerprint.out.strip()


async def test_routes_are_listed_with_who_may_call_them(node: Node) -> None:
    lines = (await node("routes")).out.splitlines()
    listed = json.loads((await node("routes", "--json")).out)
    assert lines[0].split() == ["METHOD", "PATH", "PERMISSION"]
    assert len(lines) == len(listed) + 1
    publish = next(
        each for each in listed if (each["method"], each["path"]) == ("POST", "/api/publish")
    )
    assert publish["permission"].startswith("owners")
    assert {"method": "GET", "path": "/public_key", "permission": "anyone"} in listed


async def test_settings_are_shown_with_their_source_and_secrets_are_not(node: Node) -> None:
    shown = await node("config", "show", "--json", SECRET_KEY_BASE="s" * 64, PORT="4321")
    settings = {entry["name"]: entry for entry in json.loads(shown.out)}
    assert settings["PORT"]["value"] == "4321"
    assert "s" * 64 not in shown.out
    assert "s" * 64 not in (await node("config", "show", SECRET_KEY_BASE="s" * 64)).out


async def test_the_version_is_told(node: Node) -> None:
    assert (await node("version")).out == f"hexhub {__version__}\n"
    assert json.loads((await node("version", "--json")).out) == {"version": __version__}


async def test_a_wrong_setting_is_an_error_that_names_it(node: Node) -> None:
    wrong = await node("user", "list", PORT="many")
    assert wrong.code == FAILED
    assert "PORT" in wrong.err


async def test_without_a_node_the_commands_say_so(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path), "UPSTREAM_ENABLED": "false"}
    for arguments in (("user", "list"), ("key", "list", "--user", "a"), ("public-key",)):
        alone = run(*arguments, environ=environ)
        assert alone.code == NO_NODE
        assert "no node answers" in alone.err
        assert str(tmp_path) in alone.err


async def test_the_flag_wins_over_the_environment(node: Node, tmp_path: Path) -> None:
    done = await node("--data-dir", str(node.data_dir), "user", "list", DATA_DIR=str(tmp_path))
    assert done.code == DONE


async def test_a_very_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    async with operated(folder) as node:
        assert len(str(node.data_dir / "admin.sock")) > 108
        await _user(node, "mara")
        assert "mara" in (await node("user", "list")).out


async def test_every_change_by_the_operator_is_written_down(node: Node, name: str) -> None:
    await _user(node, name)
    await node("key", "create", "k", "--user", name)
    with node.hub.hub.store.view() as view:
        actions = {row.action for row in view.scan(AuditRecord) if row.by == "operator"}
    assert {"user.create", "key.generate"} <= actions
