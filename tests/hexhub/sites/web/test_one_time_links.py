"""The forms of one-time links: the first administrator, and a new password (design §9)."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from hexhub.domain import users
from hexhub.domain.audit import OPERATOR
from tests.hexhub.hubs import Answer, TestHub

FORM = "application/x-www-form-urlencoded"


async def _send(hub: TestHub, path: str, **fields: str) -> Answer:
    return await hub.nobody.post(
        path, data=urlencode(fields).encode(), headers={"Content-Type": FORM}
    )


def _first_run(hub: TestHub, **changed: str) -> dict[str, str]:
    said = {
        "token": hub.hub.first_run_token or "",
        "username": "mara",
        "email": "mara@example.org",
        "password": "a good password",
    }
    return said | changed


async def test_the_first_administrator_is_made_once(hub: TestHub) -> None:
    link = f"/first-run?token={hub.hub.first_run_token}"
    form = await hub.nobody.get(link)
    assert form.status == 200
    assert b'name="password"' in form.body
    done = await _send(hub, "/first-run", **_first_run(hub))
    assert done.status == 200
    assert b"mara" in done.body
    with hub.hub.store.view() as view:
        assert users.find(view, "mara").admin
    assert (await hub.basic("mara", "a good password").get("/api/users/me")).status == 200
    assert (await hub.nobody.get(link)).status == 404
    again = await _send(
        hub, "/first-run", **_first_run(hub, username="otto", email="o@example.org")
    )
    assert again.status == 404
    assert (await hub.nobody.get("/api/users/otto")).status == 404


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"username": "ab"}, "should be at least 3 character"),
        ({"username": "hexpm"}, "is reserved"),
        ({"email": "nowhere"}, "has invalid format"),
        ({"password": "short"}, "should be at least 8 character"),
        ({"username": '"><script>alert(1)</script>'}, "has invalid format"),
    ],
)
async def test_a_wrong_form_comes_back_with_what_is_wrong(
    hub: TestHub, changed: dict[str, str], said: str
) -> None:
    answer = await _send(hub, "/first-run", **_first_run(hub, **changed))
    text = answer.body.decode()
    assert answer.status == 422
    assert said in text
    assert "<script>alert" not in text
    assert "a good password" not in text
    assert (await _send(hub, "/first-run", **_first_run(hub))).status == 200


@pytest.mark.parametrize("token", ["", "wrong", "0" * 48, "ü", "x" * 5000])
async def test_without_the_token_there_is_no_form(hub: TestHub, token: str) -> None:
    assert (await hub.nobody.get(f"/first-run?{urlencode({'token': token})}")).status == 404
    assert (await _send(hub, "/first-run", **_first_run(hub, token=token))).status == 404
    assert (await hub.nobody.get("/first-run")).status == 404


async def test_the_link_is_void_once_there_is_an_administrator(hub: TestHub) -> None:
    await hub.user("otto", admin=True)
    assert (await hub.nobody.get(f"/first-run?token={hub.hub.first_run_token}")).status == 404
    assert (await _send(hub, "/first-run", **_first_run(hub))).status == 404


async def test_a_user_who_is_no_administrator_does_not_void_it(hub: TestHub) -> None:
    await hub.user("otto")
    assert (await hub.nobody.get(f"/first-run?token={hub.hub.first_run_token}")).status == 200


async def test_the_link_is_good_for_a_day(hub: TestHub) -> None:
    link = f"/first-run?token={hub.hub.first_run_token}"
    hub.clock.ahead += timedelta(hours=23, minutes=59)
    assert (await hub.nobody.get(link)).status == 200
    hub.clock.ahead += timedelta(minutes=2)
    assert (await hub.nobody.get(link)).status == 404
    assert (await _send(hub, "/first-run", **_first_run(hub))).status == 404


async def _link(hub: TestHub, name: str) -> str:
    """The secret of a link for a new password."""
    token = hub.hub.new_token()
    await hub.hub.store.transact(
        users.add_link,
        OPERATOR,
        hub.hub.secret_hash(token),
        "password",
        name,
        hub.hub.now() + timedelta(hours=24),
        hub.hub.now(),
    )
    return token


async def test_a_password_is_set_by_its_link_once(hub: TestHub) -> None:
    await hub.user("otto", password="the one before")
    key = await _link(hub, "otto")
    form = await hub.nobody.get(f"/password/new?username=otto&key={key}")
    assert form.status == 200
    assert b"otto" in form.body
    short = await _send(hub, "/password/new", key=key, password="short")
    assert short.status == 422
    assert b"should be at least 8 character" in short.body
    assert (await _send(hub, "/password/new", key=key, password="the new one")).status == 200
    assert (await hub.basic("otto", "the new one").get("/api/users/me")).status == 200
    assert (await hub.basic("otto", "the one before").get("/api/users/me")).status == 401
    assert (await _send(hub, "/password/new", key=key, password="another one")).status == 404


async def test_a_later_link_voids_the_earlier_and_a_day_voids_both(hub: TestHub) -> None:
    await hub.user("otto")
    first, second = await _link(hub, "otto"), await _link(hub, "otto")
    assert (await hub.nobody.get(f"/password/new?key={first}")).status == 404
    assert (await hub.nobody.get(f"/password/new?key={second}")).status == 200
    hub.clock.ahead += timedelta(hours=25)
    assert (await hub.nobody.get(f"/password/new?key={second}")).status == 404
    assert (await _send(hub, "/password/new", key=second, password="a good password")).status == 404


async def test_a_disabled_account_loses_its_link(hub: TestHub) -> None:
    await hub.user("otto")
    key = await _link(hub, "otto")
    await hub.disable("otto")
    assert (await hub.nobody.get(f"/password/new?key={key}")).status == 404


async def test_the_tables_do_not_hold_a_link_s_secret(hub: TestHub) -> None:
    await hub.user("otto")
    key = await _link(hub, "otto")
    files = [path for path in (hub.folder / "data").rglob("*") if path.is_file()]
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


async def test_pages_let_nothing_in_and_tell_nobody_where_they_are(hub: TestHub) -> None:
    link = f"/first-run?token={hub.hub.first_run_token}"
    for path in ("/", link, "/first-run?token=wrong"):
        answer = await hub.nobody.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            answer.headers["Cache-Control"] == "no-store"
            or "private" in (answer.headers["Cache-Control"])
        )
        text = answer.body.decode()
        assert answer.headers["Content-Type"].startswith("text/html")
        assert re.search(r"<html[^>]* lang=", text)
        assert not re.search(r"\son\w+=", text), "no script in attributes"
        for script in re.findall(r"<script[^>]*>", text):
            assert "nonce=" in script or "src=" in script
    assert (await hub.nobody.get(link)).headers["Referrer-Policy"] == "no-referrer"
