"""What rebar3's publishing plugin asks for (http-api.md §5), replayed against a node."""

from __future__ import annotations

import hashlib

import pytest

from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import Requirement, docs_archive, rebar3_project, tarball
from tests.end_to_end.rebar3_hex import ERLANG, Rebar3Hex, basic
from tests.end_to_end.registry import read_names, read_package
from tests.end_to_end.terms import Term

SIXTEEN_MIB = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def plugin(node: RunningNode, mara: str) -> Rebar3Hex:
    """The plugin with mara's key."""
    return Rebar3Hex(node, mara)


@pytest.fixture(scope="module")
def acme(node: RunningNode, mara: str) -> str:
    node.create_organization("acme", admin="mara")
    return "acme"


def _package(name: str, version: str = "1.0.0") -> bytes:
    return tarball(name, version, rebar3_project(name, version))


# credentials


def test_user_auth_makes_three_keys_from_the_password(node: RunningNode, mara: str) -> None:
    made = Rebar3Hex(node, basic("mara")).create_key("laptop", ("api", None))
    assert made.status == 201
    assert made.headers["location"] == "/api/keys/laptop"
    assert made.field("name") == "laptop"
    secret = made.field("secret")
    assert isinstance(secret, str)
    with_key = Rebar3Hex(node, secret)
    assert with_key.create_key("laptop-api-read", ("api", "read")).status == 201
    repositories = with_key.create_key("laptop-repositories", ("repositories", None))
    assert repositories.field("permissions") == [{"domain": "repositories", "resource": None}]


def test_a_wrong_password_is_told_as_such(node: RunningNode, mara: str) -> None:
    reply = Rebar3Hex(node, basic("mara", "not the password")).create_key("x", ("api", None))
    assert reply.status == 401
    assert reply.field("message") == "invalid username and password combination"
    assert reply.headers["www-authenticate"] == "Basic realm=hex"


def test_keys_are_listed_fetched_and_revoked(node: RunningNode, mara: str) -> None:
    user = Rebar3Hex(node, basic("mara"))
    secret = user.create_key("short-lived", ("api", "read")).field("secret")
    assert isinstance(secret, str)
    listed = user.call("GET", "/keys").term
    assert isinstance(listed, list)
    assert "short-lived" in [each["name"] for each in listed if isinstance(each, dict)]
    fetched = user.call("GET", "/keys/short-lived")
    assert (fetched.field("secret"), fetched.field("authing_key")) == (None, False)
    revoked = user.call("DELETE", "/keys/short-lived")
    assert (revoked.status, revoked.field("name")) == (200, "short-lived")
    refused = Rebar3Hex(node, secret).call("GET", "/users/me")
    assert (refused.status, refused.field("message")) == (401, "API key revoked")


def test_whoami_tells_the_user_and_the_organizations(
    node: RunningNode, plugin: Rebar3Hex, acme: str
) -> None:
    me = plugin.call("GET", "/users/me")
    assert me.status == 200
    assert me.field("username") == "mara"
    assert me.field("organizations") == [{"name": "acme", "role": "admin"}]
    inserted_at = me.field("inserted_at")
    assert isinstance(inserted_at, str)
    assert len(inserted_at) == len("2030-01-01T00:00:00Z"), "whole seconds in Erlang terms"


# publishing


def test_a_release_is_published_after_the_node_asked_for_it(
    node: RunningNode, plugin: Rebar3Hex
) -> None:
    package = _package("acorn")
    upload = plugin.publish("acorn", package)
    assert upload.continued
    reply = upload.reply
    assert reply.status == 201
    assert reply.headers["location"] == "/api/packages/acorn/releases/1.0.0"
    assert reply.field("checksum") == hashlib.sha256(package).hexdigest()
    assert reply.field("html_url") == node.url + "/packages/acorn/1.0.0"
    assert reply.field("meta", "app") == "acorn"
    assert node.request("GET", "/repo/tarballs/acorn-1.0.0.tar").body == package
    told = read_package(node.request("GET", "/repo/packages/acorn").body, node.public_key())
    assert [each.outer_checksum for each in told.releases] == [reply.field("checksum")]


def test_an_existing_release_is_replaced_only_when_asked(
    node: RunningNode, plugin: Rebar3Hex
) -> None:
    plugin.must_publish("beech", _package("beech"))
    changed = tarball("beech", "1.0.0", rebar3_project("beech", "1.0.0", answer="changed"))
    refused = plugin.publish("beech", changed).reply
    assert refused.status == 422
    assert refused.field("errors") == {
        "inserted_at": "must include the --replace flag to update an existing release"
    }
    replaced = plugin.publish("beech", changed, replace=True).reply
    assert replaced.status == 200
    assert node.request("GET", "/repo/tarballs/beech-1.0.0.tar").body == changed


@pytest.mark.parametrize("credential", [None, "0" * 32], ids=["no key", "unknown key"])
def test_nobody_uploads_before_being_authorized(node: RunningNode, credential: str | None) -> None:
    upload = Rebar3Hex(node, credential).publish("cedar", _package("cedar"))
    assert not upload.continued
    assert upload.reply.status == 401
    assert upload.reply.headers["content-type"].startswith(ERLANG)
    assert node.request("GET", "/api/packages/cedar").status == 404


def test_a_key_that_may_only_read_cannot_publish(node: RunningNode, mara: str) -> None:
    reader = node.create_key("mara", "api:read", name="reader")
    upload = Rebar3Hex(node, reader).publish("cedar", _package("cedar"))
    assert not upload.continued
    assert upload.reply.status == 401
    assert upload.reply.field("message") == "key not authorized for this action"


def test_a_stranger_cannot_publish_to_an_owned_package(
    node: RunningNode, plugin: Rebar3Hex
) -> None:
    plugin.must_publish("ebony", _package("ebony"))
    node.create_user("stranger")
    stranger = Rebar3Hex(node, node.create_key("stranger", "api"))
    upload = stranger.publish("ebony", _package("ebony", "1.1.0"))
    assert not upload.continued
    assert upload.reply.status == 403
    assert upload.reply.field("message") == "account not authorized for this action"


def test_an_upload_announced_too_long_is_refused_unread(plugin: Rebar3Hex) -> None:
    size = {"content-length": str(SIXTEEN_MIB + 1)}
    upload = plugin.upload("/packages/fir/releases?replace=false", b"", size)
    assert not upload.continued
    assert upload.reply.status == 422
    assert upload.reply.field("errors") == {"tar": "too big"}


def test_statuses_that_the_plugin_prints_as_success_are_not_sent_to_it(
    node: RunningNode, mara: str, plugin: Rebar3Hex
) -> None:
    """411 for others, and 500 with the same body for this client (http-api.md §6.1)."""
    chunked = {"transfer-encoding": "chunked"}
    upload = plugin.upload("/packages/fir/releases?replace=false", b"", chunked)
    assert not upload.continued
    assert upload.reply.status == 500
    assert upload.reply.field("status") == 411


def test_the_name_in_the_address_has_to_be_the_one_in_the_metadata(plugin: Rebar3Hex) -> None:
    reply = plugin.publish("gingko", _package("hazel")).reply
    assert reply.status == 422
    assert reply.field("errors") == {"name": "metadata does not match package name"}


def test_a_dependency_that_exists_nowhere_is_named(plugin: Rebar3Hex) -> None:
    lonely = tarball(
        "lonely",
        "1.0.0",
        rebar3_project("lonely", "1.0.0"),
        requirements={"nowhere_to_be_found": Requirement("~> 1.0")},
    )
    reply = plugin.publish("lonely", lonely).reply
    assert reply.status == 422
    text = 'package does not exist in repository "hexpm"'
    assert reply.field("errors") == {"requirements": {"nowhere_to_be_found": text}}


def test_a_release_of_an_organization_is_published_and_reverted_there(
    node: RunningNode, plugin: Rebar3Hex, acme: str
) -> None:
    plugin.must_publish("ivy", _package("ivy"), acme)
    assert node.request("GET", "/api/packages/ivy").status == 404
    reader = node.create_key("mara", "repository:acme", name="ivy-reader")
    told = read_package(
        node.request("GET", "/repos/acme/packages/ivy", key=reader).body, node.public_key()
    )
    assert (told.repository, told.name) == ("acme", "ivy")
    assert plugin.call("DELETE", "/repos/acme/packages/ivy/releases/1.0.0").status == 204
    assert node.request("GET", "/repos/acme/packages/ivy", key=reader).status == 404


def test_reverting_the_last_release_frees_the_name(node: RunningNode, plugin: Rebar3Hex) -> None:
    plugin.must_publish("juniper", _package("juniper"))
    assert plugin.call("DELETE", "/packages/juniper/releases/1.0.0").status == 204
    assert plugin.call("GET", "/packages/juniper").status == 404
    assert node.request("GET", "/repo/packages/juniper").status == 404
    assert node.request("GET", "/repo/tarballs/juniper-1.0.0.tar").status == 404
    names = read_names(node.request("GET", "/repo/names").body, node.public_key())
    assert "juniper" not in names
    plugin.must_publish("juniper", _package("juniper"))


# docs, owners, retirement, search


def test_docs_are_published_shown_and_reverted(node: RunningNode, plugin: Rebar3Hex) -> None:
    plugin.must_publish("larch", _package("larch"))
    archive = docs_archive({"index.html": b"<p>larch</p>"})
    published = plugin.publish_docs("larch", "1.0.0", archive)
    assert (published.status, published.term) == (201, None)
    location = node.url + "/docs/larch-1.0.0.tar.gz"
    assert published.headers["location"] == location
    assert node.request("GET", "/docs/larch-1.0.0.tar.gz").body == archive
    assert plugin.call("GET", "/packages/larch/releases/1.0.0").field("has_docs") is True
    shown = plugin.call("GET", "/packages/larch/releases/1.0.0/docs")
    assert (shown.status, shown.headers["location"]) == (302, location)
    assert plugin.call("DELETE", "/packages/larch/releases/1.0.0/docs").status == 204
    assert node.request("GET", "/docs/larch-1.0.0.tar.gz").status == 404


def test_docs_of_a_release_that_does_not_exist_are_refused(plugin: Rebar3Hex) -> None:
    archive = docs_archive({"index.html": b""})
    assert plugin.publish_docs("maple", "1.0.0", archive).status == 404


def test_owners_are_added_listed_and_removed(node: RunningNode, plugin: Rebar3Hex) -> None:
    plugin.must_publish("oak", _package("oak"))
    node.create_user("olive")
    added = plugin.call(
        "PUT", "/packages/oak/owners/olive", {"level": "maintainer", "transfer": False}
    )
    assert (added.status, added.term) == (204, None)
    owners = plugin.call("GET", "/packages/oak/owners").term
    assert isinstance(owners, list)
    told = [(each["username"], each["level"]) for each in owners if isinstance(each, dict)]
    assert told == [("mara", "full"), ("olive", "maintainer")]
    assert plugin.call("DELETE", "/packages/oak/owners/olive").status == 204
    last = plugin.call("DELETE", "/packages/oak/owners/mara")
    assert last.status == 422
    assert last.field("errors") == {"username": "cannot remove last owner of package"}


def test_a_release_is_retired_and_unretired(node: RunningNode, plugin: Rebar3Hex) -> None:
    plugin.must_publish("pine", _package("pine"))
    path = "/packages/pine/releases/1.0.0/retire"
    wrong = plugin.call("POST", path, {"reason": "boring", "message": ""})
    assert wrong.status == 422
    assert wrong.field("errors") == {"retirement": {"reason": "is invalid"}}
    retired = plugin.call("POST", path, {"reason": "security", "message": "use oak"})
    assert (retired.status, retired.term) == (204, None)
    assert _retired(node, "pine")
    assert plugin.call("GET", "/packages/pine").field("retirements") == {
        "1.0.0": {"reason": "security", "message": "use oak"}
    }
    assert plugin.call("DELETE", path).status == 204
    assert not _retired(node, "pine")


def _retired(node: RunningNode, name: str) -> bool:
    resource = node.request("GET", f"/repo/packages/{name}").body
    return read_package(resource, node.public_key()).releases[0].retired


def test_search_finds_a_package_by_a_part_of_its_name(plugin: Rebar3Hex) -> None:
    plugin.must_publish("quince_jelly", _package("quince_jelly"))
    found = plugin.call("GET", "/packages?search=quince").term
    assert isinstance(found, list)
    assert [each["name"] for each in found if isinstance(each, dict)] == ["quince_jelly"]
    (package,) = found
    assert isinstance(package, dict)
    assert isinstance(package["html_url"], str)
    assert isinstance(package["downloads"], dict)


def test_organization_auth_tests_a_key(node: RunningNode, plugin: Rebar3Hex, acme: str) -> None:
    reader = node.create_key("mara", "repository:acme", name="rebar3")
    good = Rebar3Hex(node, reader).call("GET", "/auth?domain=repository&resource=acme")
    assert good.status == 200
    assert good.field("key", "owner") == {"type": "user", "name": "mara"}
    bad = plugin.call("GET", "/auth?domain=repository&resource=acme")
    assert bad.status == 401
    assert bad.field("message") == "key not authorized for this action"


def test_an_organization_has_keys_of_its_own(
    node: RunningNode, plugin: Rebar3Hex, acme: str
) -> None:
    wanted: Term = {"domain": "repository", "resource": "acme"}
    made = plugin.call("POST", "/orgs/acme/keys", {"name": "ci", "permissions": [wanted]})
    assert made.status == 201
    secret = made.field("secret")
    assert isinstance(secret, str)
    plugin.must_publish("rowan", _package("rowan"), acme)
    assert node.request("GET", "/repos/acme/packages/rowan", key=secret).status == 200
    assert plugin.call("DELETE", "/orgs/acme/keys/ci").status == 200
    assert node.request("GET", "/repos/acme/packages/rowan", key=secret).status == 404
