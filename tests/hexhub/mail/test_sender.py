"""Mails on their way to a real SMTP server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from hexhub.domain import mails, users
from hexhub.schema import Mail
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.mail.servers import Mailbox, mail_server


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as mailbox:
        yield mailbox


@pytest.fixture
async def hub(tmp_path: Path, mailbox: Mailbox) -> AsyncIterator[TestHub]:
    """A hub that sends its mails to the mailbox."""
    async with hubs.running(tmp_path, smtp_url=f"smtp://127.0.0.1:{mailbox.port}") as running:
        yield running


async def queue(hub: TestHub, to: str, template: str = "email_added", **values: str) -> None:
    values = {"address": "mara@new.example"} | values
    await hub.hub.store.transact(mails.queue, to, template, values, hub.hub.now())


def waiting(hub: TestHub) -> list[Mail]:
    with hub.hub.store.view() as view:
        return [mail for mail in view.scan(Mail) if mail.due is not None]


async def test_a_publish_tells_the_owners_in_text_and_html(hub: TestHub, mailbox: Mailbox) -> None:
    mara = await hub.user("mara")
    await hub.hub.sender.send_due()
    mailbox.messages.clear()

    answer = await mara.publish(tarball("acorn", "1.0.0", {"src/a.erl": b"-module(a).\n"}))
    assert answer.status == 201
    await hub.hub.sender.send_due()

    (message,) = mailbox.messages
    assert message["Subject"] == "HexHub - Package acorn v1.0.0 published"
    assert message["To"] == "mara@example.org"
    assert mailbox.recipients[-1] == ["mara@example.org"]
    link = f"{hub.hub.url}/packages/acorn/1.0.0"
    assert link in mailbox.part(0, "plain")
    assert f'<a href="{link}">' in mailbox.part(0, "html")
    assert "mix hex.publish --revert 1.0.0" in mailbox.part(0, "plain")


async def test_a_person_who_does_not_want_a_mail_gets_none(hub: TestHub, mailbox: Mailbox) -> None:
    mara = await hub.user("mara")
    with hub.hub.store.view() as view:
        user = users.find(view, "mara")
    muted = msgspec.structs.replace(user, muted=("release_published",))
    await hub.hub.store.transact(lambda tx: tx.put(muted))
    await hub.hub.sender.send_due()
    mailbox.messages.clear()

    await mara.publish(tarball("acorn", "1.0.0", {"src/a.erl": b"-module(a).\n"}))
    await hub.hub.sender.send_due()

    assert mailbox.messages == []


async def test_a_refused_change_sends_nothing(hub: TestHub, mailbox: Mailbox) -> None:
    mara = await hub.user("mara")
    await hub.hub.sender.send_due()
    mailbox.messages.clear()

    assert (await mara.publish(b"not a tarball")).status == 422
    await hub.hub.sender.send_due()

    assert mailbox.messages == []


async def test_a_mail_waits_for_a_server_that_is_busy_and_is_sent_once(
    hub: TestHub, mailbox: Mailbox
) -> None:
    await queue(hub, "mara@example.org")
    mailbox.answer = "451 later"
    assert await hub.hub.sender.send_due() == 0
    mailbox.answer = "250 taken"
    assert await hub.hub.sender.send_due() == 0, "it was tried again at once"
    assert waiting(hub)[0].attempts == 1

    hub.clock.ahead += timedelta(minutes=2)
    assert await hub.hub.sender.send_due() == 1
    assert await hub.hub.sender.send_due() == 0
    assert len(mailbox.messages) == 1
    assert waiting(hub) == []


async def test_pauses_between_tries_grow(hub: TestHub, mailbox: Mailbox) -> None:
    await queue(hub, "mara@example.org")
    mailbox.answer = "451 later"
    tries = 0
    for _ in range(10):
        hub.clock.ahead += timedelta(seconds=31)
        await hub.hub.sender.send_due()
        tries = waiting(hub)[0].attempts

    assert 2 <= tries <= 5


@pytest.mark.parametrize("reply", ["550 nobody of that name", "553 no such domain"])
async def test_a_recipient_who_is_refused_for_good_is_given_up(
    hub: TestHub, mailbox: Mailbox, reply: str
) -> None:
    await queue(hub, "mara@example.org")
    mailbox.refuse = reply
    await hub.hub.sender.send_due()

    assert waiting(hub) == []
    with hub.hub.store.view() as view:
        (mail,) = mails.newest(view, 10)
    assert mail.sent_at is None
    assert mail.error is not None
    assert reply[:3] in mail.error


async def test_one_bad_address_does_not_keep_others_waiting(hub: TestHub, mailbox: Mailbox) -> None:
    await queue(hub, "a,b@example.org\r\nBcc: olaf@example.org")
    await queue(hub, "mara@example.org")

    assert await hub.hub.sender.send_due() == 1
    assert [message["To"] for message in mailbox.messages] == ["mara@example.org"]
    assert waiting(hub) == []


async def test_no_server_at_all_is_tried_again(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, smtp_url="smtp://127.0.0.1:1") as hub:
        await queue(hub, "mara@example.org")
        assert await hub.hub.sender.send_due() == 0
        (mail,) = waiting(hub)
        assert mail.error is not None
        assert "no connection" in mail.error


async def test_a_value_cannot_add_headers_lines_or_markup(hub: TestHub, mailbox: Mailbox) -> None:
    name = 'x"\r\nBcc: olaf@example.org\r\n\r\nPay here: <a href="http://evil.example">'
    await queue(hub, "mara@example.org", "key_created", name=name, owner="mara")
    await queue(hub, "mara@example.org", "member_added", organization="x\nBcc: o@example.org")
    await hub.hub.sender.send_due()

    key, member = mailbox.messages
    assert key["Bcc"] is None
    assert member["Bcc"] is None
    assert "\nBcc" not in str(member["Subject"])
    assert "\nBcc" not in mailbox.part(0, "plain").replace("\r\n", "\n")
    assert '<a href="http://evil' not in mailbox.part(0, "html")


async def test_what_was_sent_keeps_no_secret(hub: TestHub, mailbox: Mailbox) -> None:
    await queue(hub, "mara@example.org", "password_reset", username="mara", link="http://x/?key=s3")
    await hub.hub.sender.send_due()

    assert "key=s3" in mailbox.part(0, "plain")
    with hub.hub.store.view() as view:
        assert all("s3" not in str(mail.values) for mail in view.scan(Mail))


async def test_mails_older_than_a_month_are_forgotten(hub: TestHub, mailbox: Mailbox) -> None:
    await queue(hub, "mara@example.org")
    await hub.hub.sender.send_due()
    hub.clock.ahead += timedelta(days=31)
    await queue(hub, "olaf@example.org")

    assert await hub.hub.store.transact(mails.forget_old, hub.hub.now()) == 1
    with hub.hub.store.view() as view:
        assert [mail.to for mail in view.scan(Mail)] == ["olaf@example.org"]


async def test_a_running_sender_sends_what_comes_in(hub: TestHub, mailbox: Mailbox) -> None:
    running = asyncio.get_running_loop().create_task(hub.hub.sender.run())
    try:
        await queue(hub, "mara@example.org")
        async with asyncio.timeout(20):
            await mailbox.taken.wait()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    assert len(mailbox.messages) == 1


async def test_without_a_server_mails_stay_to_be_read(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        person: Person = await hub.user("mara")
        await person.post("/api/keys", {"name": "laptop"})

        assert await hub.hub.sender.send_due() == 0
        with hub.hub.store.view() as view:
            newest = mails.newest(view, 10)[0]
        assert newest.template == "key_created"
        assert newest.values == {"name": "laptop", "owner": "mara"}
