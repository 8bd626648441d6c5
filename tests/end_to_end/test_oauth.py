"""Clients sign in by OAuth: mix by its device flow, Gleam and an exchanged key by their requests."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.end_to_end.mix import Mix, missing_mix, write_project
from tests.end_to_end.node import PASSWORD, Answer, RunningNode
from tests.end_to_end.packages import tarball
from tests.end_to_end.person import Person

GLEAM = "877731e8-cb88-45e1-9b84-9214de7da421"
MIX = "78ea6566-89fd-481e-a1d6-7d9d78eacca8"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
WAIT_S = 30.0


@dataclass(frozen=True)
class Account:
    """Mara at her browser, with two-factor authentication on."""

    browser: Person
    secret: str

    @property
    def code(self) -> str:
        return pyotp.TOTP(self.secret).now()

    def let_in(self, address: str) -> None:
        """Open the address that a client shows, and agree to everything."""
        page = self.browser.get(address)
        asked = self.browser.submit(page, "/oauth/device")
        done = self.browser.submit(asked, "/oauth/device/authorize", decision="approve")
        assert b"It is let in" in done.body, done.body


@pytest.fixture(scope="module")
def account(node: RunningNode) -> Account:
    node.create_user("mara")
    node.create_organization("acme", admin="mara")
    browser = Person(node)
    browser.sign_in("mara", PASSWORD)
    page = browser.submit(browser.get("/dashboard/security"), "/dashboard/security/begin")
    (shown,) = set(re.findall(r"<code>((?:[A-Z2-7]{4} ?){8})</code>", page.body.decode()))
    secret = str(shown).replace(" ", "")
    done = browser.submit(page, "/dashboard/security/confirm", code=pyotp.TOTP(secret).now())
    assert b"is on" in done.body
    return Account(browser, secret)


def post(node: RunningNode, path: str, fields: dict[str, Any], **headers: str) -> Answer:
    """A POST of JSON, as Gleam sends it."""
    sent = {"content-type": "application/json", "accept": "application/json"} | headers
    return node.request("POST", path, body=json.dumps(fields).encode(), headers=sent)


# mix


@pytest.fixture(scope="module")
def mix(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    root = tmp_path_factory.mktemp("mix")
    mix = Mix(root / "home", {"HEX_API_URL": f"{node.url}/api"})
    pem = root / "hub.pem"
    pem.write_bytes(node.request("GET", "/public_key").body)
    mix.run(root, "hex.repo", "set", "hexpm", "--url", f"{node.url}/repo", "--public-key", str(pem))
    return mix


@pytest.fixture(scope="module")
def signed_in(mix: Mix, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """mix after `mix hex.user auth`, let in by a person."""
    folder = tmp_path_factory.mktemp("auth")
    with mix.start(folder, "hex.user", "auth") as process:
        account.let_in(_shown_address(process))
        printed, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "You are authenticated!" in printed
    return mix


def _shown_address(process: subprocess.Popen[str]) -> str:
    """The address that the client prints, for a browser that it could not open."""
    assert process.stdout is not None
    deadline = time.monotonic() + WAIT_S
    seen = ""
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        seen += line
        found = re.search(r"http://\S+/oauth/device\?user_code=\w+", line)
        if found:
            return found[0]
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"no address was shown:\n{seen}")


@pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")
class TestMix:
    def test_it_knows_who_is_signed_in(self, signed_in: Mix, tmp_path: Path) -> None:
        assert signed_in.run(tmp_path, "hex.user", "whoami").strip() == "mara"

    def test_it_publishes_with_one_code_for_package_and_docs(
        self, node: RunningNode, signed_in: Mix, account: Account, tmp_path: Path
    ) -> None:
        project = write_project(tmp_path, "acorn", "1.0.0")
        mix = signed_in.extended({"HEX_OTP": account.code})
        printed = mix.run(project, "hex.publish", "--yes")
        assert f"Package published to {node.url}/packages/acorn/1.0.0" in printed
        assert "Docs will soon be available" in printed

    def test_it_fetches_what_only_members_may_see(
        self, signed_in: Mix, account: Account, tmp_path: Path
    ) -> None:
        oak = write_project(tmp_path, "oak", "1.0.0")
        mix = signed_in.extended({"HEX_OTP": account.code})
        mix.run(oak, "hex.publish", "package", "--yes", "--organization", "acme")
        deps = '[{:oak, "~> 1.0", organization: "acme"}]'
        app = write_project(tmp_path, "app", "0.1.0", deps)
        assert "oak 1.0.0" in signed_in.run(app, "deps.get")

    def test_an_organization_is_authenticated_by_a_key(
        self, signed_in: Mix, account: Account, tmp_path: Path
    ) -> None:
        mix = signed_in.extended({"HEX_OTP": account.code})
        made = mix.run(tmp_path, "hex.organization", "key", "acme", "generate", "--key-name", "ci")
        (key,) = re.findall(r"\b[0-9a-f]{32}\b", made)
        mix.run(tmp_path, "hex.organization", "auth", "acme", "--key", key)
        assert "acme" in mix.run(tmp_path, "hex.organization", "list")
        mix.run(tmp_path, "hex.organization", "deauth", "acme")

    def test_signing_out_ends_the_tokens(
        self, node: RunningNode, signed_in: Mix, account: Account, tmp_path: Path
    ) -> None:
        kept = (signed_in.hex_home / "hex.config").read_text()
        found = re.search(r'access_token\W+<<((?:"[^"]*"\s*)+)>>', kept)
        assert found, kept
        token = "".join(re.findall(r'"([^"]*)"', found[1]))
        assert node.request("GET", "/api/users/me", key=f"Bearer {token}").status == 200
        signed_in.run(tmp_path, "hex.user", "deauth")
        answer = node.request("GET", "/api/users/me", key=f"Bearer {token}")
        assert answer.status == 401


# Gleam, by its requests (http-api.md §5)


@pytest.fixture
def gleam(node: RunningNode, account: Account) -> dict[str, Any]:
    """The tokens of a Gleam client that was let in."""
    asked = post(
        node,
        "/api/oauth/device_authorization",
        {"client_id": GLEAM, "scope": "api:write", "name": "Gleam (host)"},
    ).json()
    poll = {"grant_type": DEVICE, "client_id": GLEAM, "device_code": asked["device_code"]}
    waiting = post(node, "/api/oauth/token", poll)
    assert (waiting.status, waiting.json()["error"]) == (400, "authorization_pending")
    account.let_in(asked["verification_uri_complete"])
    answer = post(node, "/api/oauth/token", poll)
    assert answer.status == 200
    tokens: dict[str, Any] = answer.json()
    return tokens


def test_gleam_publishes_with_a_code_given_up_front(
    node: RunningNode, account: Account, gleam: dict[str, Any]
) -> None:
    headers = {
        "authorization": f"Bearer {gleam['access_token']}",
        "x-hex-otp": account.code,
        "content-type": "application/x-tar",
        "accept": "application/json",
    }
    package = tarball("wibble", "1.0.0", {"gleam.toml": b""})
    answer = node.request("POST", "/api/publish?replace=false", body=package, headers=headers)
    assert answer.status == 201, answer.body


def test_gleam_refreshes_and_revokes_by_hash(
    node: RunningNode, account: Account, gleam: dict[str, Any]
) -> None:
    fields = {
        "grant_type": "refresh_token",
        "client_id": GLEAM,
        "refresh_token": gleam["refresh_token"],
    }
    fresh = post(node, "/api/oauth/token", fields).json()
    again = post(node, "/api/oauth/token", fields)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    bearer = f"Bearer {fresh['access_token']}"
    digest = hashlib.sha256(fresh["refresh_token"].encode()).hexdigest()
    gone = post(
        node,
        "/api/oauth/revoke_by_hash",
        {"token_hash": digest},
        authorization=bearer,
        **{"x-hex-otp": account.code},
    )
    assert (gone.status, gone.body) == (200, b"")
    assert node.request("GET", "/api/users/me", key=bearer).status == 401


# An exchanged key (`--oauth-exchange-url`), and restarts


def test_an_exchanged_key_fetches_and_survives_a_restart(
    node: RunningNode, account: Account
) -> None:
    key = node.create_key("mara", "repositories", name="ci")
    fields = {
        "grant_type": "client_credentials",
        "client_id": MIX,
        "client_secret": key,
        "scope": "repositories",
        "name": "ci",
    }
    made = post(node, "/api/oauth/token", fields)
    assert made.status == 200
    bearer = f"Bearer {made.json()['access_token']}"
    assert node.request("GET", "/repos/acme/names", key=bearer).status == 200
    node.stop()
    node.restart()
    assert node.request("GET", "/repos/acme/names", key=bearer).status == 200
    assert b"mara" in account.browser.get("/dashboard").body, "and so does a browser's session"
    node.command("key", "revoke", "ci", "--user", "mara")
    assert node.request("GET", "/repos/acme/names", key=bearer).status == 404


def test_the_operator_signs_somebody_out_and_ends_a_lost_second_factor(
    node: RunningNode, account: Account
) -> None:
    node.command("user", "sign-out", "mara")
    assert b"Sign in" in account.browser.get("/dashboard").body
    node.command("user", "two-factor-off", "mara")
    browser = Person(node)
    assert b"mara" in browser.sign_in("mara", PASSWORD).body
    assert browser.get("/dashboard").status == 200


def test_the_operator_makes_lists_and_removes_clients(node: RunningNode) -> None:
    made = node.command(
        "client",
        "create",
        "Build server",
        "--redirect-uri",
        "https://ci.example/back",
        "--scope",
        "api:read",
        "--confidential",
    )
    client_id = made.split()[1]
    assert "client_secret " in made
    listed = node.command("client", "list")
    assert client_id in listed
    assert "Hex CLI" in listed
    wrong = ["client", "create", "x", "--scope", "api:read", "--redirect-uri"]
    assert node.try_command(*wrong, "http://evil.example/").code == 5
    assert node.try_command(*wrong, "https://ci.example/#x").code == 5
    node.command("client", "remove", client_id)
    assert client_id not in node.command("client", "list")
    assert node.try_command("client", "remove", client_id).code == 3


def test_the_operator_deletes_an_account_for_good(node: RunningNode) -> None:
    node.create_user("nils")
    key = node.create_key("nils", "api")
    assert node.try_command("user", "delete", "nils", stdin="n\n").code != 0
    node.command("user", "delete", "nils", "--yes")
    assert node.request("GET", "/api/users/me", key=key).status == 401
    again = ["user", "create", "nils", "--email", "nils@example.org", "--password-stdin"]
    assert node.try_command(*again, stdin=f"{PASSWORD}\n").code == 5
