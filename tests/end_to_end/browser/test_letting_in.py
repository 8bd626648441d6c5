"""Second factors and letting programs in, in a real browser with its content security policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.browser.conftest import PATIENCE_MS
from tests.end_to_end.browser.content import Filled, ex_doc
from tests.end_to_end.node import PASSWORD, RunningNode
from tests.end_to_end.packages import tarball

VERIFIER = "v" * 64
MIX = "78ea6566-89fd-481e-a1d6-7d9d78eacca8"


class _Application(BaseHTTPRequestHandler):
    """A web application that only says thank you."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"thank you")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    """The address of a web application on another origin."""
    server = HTTPServer(("127.0.0.1", 0), _Application)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/back"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Documentation on a host of its own: the same port under another name."""
    return {"DOCS_HOST": "localhost:{port}"}


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    """What mara's authenticator knows."""
    return {}


@pytest.fixture(scope="module")
def page(node: RunningNode, chromium: Browser, secrets: dict[str, str]) -> Iterator[Page]:
    """Mara's window, signed in, with two-factor authentication on."""
    node.create_user("mara")
    context = chromium.new_context(base_url=node.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/dashboard/security")
    page.fill("main input[name=username]", "mara")
    page.fill("main input[name=password]", PASSWORD)
    page.click("main form button")
    page.wait_for_url("**/dashboard/security")
    page.click("button:has-text('Set it up')")
    secret = page.locator("li code").first.inner_text().replace(" ", "")
    secrets["mara"] = secret
    assert page.locator("figure svg").bounding_box()
    page.fill("input[name=code]", pyotp.TOTP(secret).now())
    page.click("button:has-text('Turn it on')")
    assert "is on" in page.locator("h1").inner_text()
    yield page
    context.close()


def test_a_device_is_let_in_by_two_buttons(node: RunningNode, page: Page) -> None:
    asked = _post(node, "device_authorization", client_id=MIX, scope="api repositories")
    page.goto(asked["verification_uri_complete"])
    page.click("main form button")
    page.wait_for_url("**/oauth/device/authorize**")
    page.click("button[value=approve]")
    assert page.locator("h1").inner_text() == "It is let in"


def test_an_application_elsewhere_gets_its_code(
    node: RunningNode, page: Page, application: str
) -> None:
    """The policy of the page must allow the form to lead there, and nowhere else."""
    made = node.command(
        "client", "create", "Build server", "--redirect-uri", application, "--scope", "api:read"
    )
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "client_id": made.split()[1],
        "redirect_uri": application,
        "response_type": "code",
        "scope": "api:read",
        "state": "a state",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    page.goto(f"/oauth/authorize?{urlencode(query)}")
    page.click("button[value=approve]")
    page.wait_for_url(f"{application}?**")
    assert page.locator("body").inner_text() == "thank you"
    found = parse_qs(urlsplit(page.url).query)
    tokens = _post(
        node,
        "token",
        grant_type="authorization_code",
        client_id=query["client_id"],
        code=found["code"][0],
        redirect_uri=application,
        code_verifier=VERIFIER,
    )
    answer = node.request("GET", "/api/users/me", key=f"Bearer {tokens['access_token']}")
    assert answer.json()["username"] == "mara"


def test_a_key_is_made_and_shown_once(node: RunningNode, page: Page) -> None:
    page.goto("/dashboard/keys")
    page.fill("input[name=name]", "laptop")
    page.check("input[name=api][value=write]")
    page.click("button:has-text('Make the key')")
    (secret,) = set(re.findall(r"\b[0-9a-f]{32}\b", page.content()))
    assert node.request("GET", "/api/keys/laptop", key=secret).status == 200
    page.goto("/dashboard/keys")
    assert secret not in page.content()


def test_documentation_on_a_host_of_its_own_keeps_what_it_stores(
    node: RunningNode, page: Page
) -> None:
    """It has an origin there, which is not the hub's."""
    hub = Filled(node, node.create_key("mara", "api", name="docs"), "")
    node.create_organization("acme", "mara")
    node.must_publish(tarball("ledger", "1.0.0", {"README.md": b"# Ledger"}), hub.mara, "acme")
    hub.publish_docs("ledger", "1.0.0", ex_doc("ledger", "1.0.0"), "acme")
    page.goto("/repos/acme/docs/ledger/")
    expect(page.locator("#out")).to_contain_text("imported")
    assert page.url.startswith(f"http://localhost:{node.port}/repos/acme/ledger/~")
    assert page.evaluate("[origin, localStorage.theme, document.cookie]") == [
        f"http://localhost:{node.port}",
        "night",
        "",
    ]
    page.reload()
    expect(page.locator("#out")).to_contain_text('"before":"night"')


def test_signing_out_by_the_menu_ends_the_session(page: Page) -> None:
    page.goto("/dashboard")
    page.click("summary:has-text('mara')")
    page.click("button:has-text('Sign out')")
    page.goto("/dashboard")
    assert "/login" in page.url


def test_signing_in_takes_the_password_and_a_code(page: Page, secrets: dict[str, str]) -> None:
    page.context.clear_cookies()
    page.goto("/login?return=/dashboard/keys")
    page.fill("main input[name=username]", "mara")
    page.fill("main input[name=password]", PASSWORD)
    page.click("main form button")
    page.fill("input[name=code]", "000000")
    page.click("main form button")
    expect(page.locator(".wrong")).to_be_visible()
    page.goto("/dashboard/keys")
    assert "/login" in page.url, "a password alone is not enough"
    page.fill("main input[name=username]", "mara")
    page.fill("main input[name=password]", PASSWORD)
    page.click("main form button")
    page.fill("input[name=code]", pyotp.TOTP(secrets["mara"]).now())
    page.click("main form button")
    page.wait_for_url("**/dashboard/keys")


def test_who_gets_a_link_chooses_a_password_and_is_in(node: RunningNode, chromium: Browser) -> None:
    made = node.command("user", "create", "nadia", "--email", "nadia@example.org")
    (link,) = re.findall(r"http\S+/password/new\S+", made)
    context = chromium.new_context(base_url=node.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(link)
    page.fill("input[name=password]", "short")
    page.click("main form button")
    expect(page.locator(".wrong")).to_be_visible()
    page.fill("input[name=password]", "a long enough one")
    page.click("main form button")
    page.click("main a:has-text('Sign in')")
    page.fill("main input[name=username]", "nadia")
    page.fill("main input[name=password]", "a long enough one")
    page.click("main form button")
    expect(page.locator("details.menu summary")).to_have_text("nadia")
    page.goto(link)
    expect(page.locator("input[name=password]")).to_have_count(0)
    context.close()


def _post(node: RunningNode, path: str, **fields: str) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "application/json"}
    body = json.dumps(fields).encode()
    answer = node.request("POST", f"/api/oauth/{path}", body=body, headers=headers)
    assert answer.status == 200, answer.body
    found: dict[str, str] = answer.json()
    return found
