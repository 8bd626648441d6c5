"""Sends the mails that are due, over SMTP; the only file that knows aiosmtplib.

Runs beside the requests and never in one. Only the node that leads sends; a claim in the table
keeps a mail from going out twice when the leadership moves.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
from collections.abc import Callable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from cluster import Change, ClusterError
from hexhub.domain import mails
from hexhub.mail.text import write
from hexhub.schema import Mail

if TYPE_CHECKING:
    from cluster import Node

LOOK_EVERY_S = 5.0
TIMEOUT_S = 30.0
BATCH_MAX = 50
FORGET_EVERY_S = 3600.0
REFUSED_FOR_GOOD = range(550, 560)
"""Replies that say something about this mail or its recipient, which trying again will not change."""


class Sender:
    """One node's hand on the queue. Without `smtp_url` mails stay in the table, to be read there."""

    def __init__(
        self, node: Node, smtp_url: str | None, url: str, now: Callable[[], datetime]
    ) -> None:
        self._node = node
        self._store = node.store
        self._url = url
        self._now = now
        self._server = urlsplit(smtp_url) if smtp_url else None
        self._wake = asyncio.Event()
        self._store.subscribe(self._changed)

    def adjust(self, smtp_url: str | None) -> None:
        """Send by another server from the next mail on."""
        self._server = urlsplit(smtp_url) if smtp_url else None
        self._wake.set()

    @property
    def enabled(self) -> bool:
        """Whether this node knows a server that takes mails."""
        return self._server is not None

    def _changed(self, change: Change) -> None:
        if change.keys is None or any(record is Mail for record, _ in change.keys):
            self._wake.set()

    async def run(self) -> None:
        """Send for ever, and forget what is a month old."""
        forgot = asyncio.get_running_loop().time() - FORGET_EVERY_S
        while True:
            _pass_on_cancelling()
            self._wake.clear()
            if self._node.status().role == "leader":
                try:
                    await self.send_due()
                    if asyncio.get_running_loop().time() - forgot >= FORGET_EVERY_S:
                        forgot = asyncio.get_running_loop().time()
                        while await self._store.transact(mails.forget_old, self._now()):
                            pass
                except ClusterError as error:
                    _log().warning("mails are sent later", error=str(error))
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def send_due(self) -> int:
        """Send what is due now; how many mails the server took."""
        if self._server is None:
            return 0
        sent = 0
        while True:
            with self._store.view() as view:
                keys = mails.due(view, self._now(), BATCH_MAX)
            if not keys:
                return sent
            sent += await self._send_all(keys)

    async def _send_all(self, keys: list[mails.MailKey]) -> int:
        """One connection for all; when there is none, each is a failure of its own."""
        client, broken = self._client(), None
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            broken = mails.Failure(f"no connection: {_said(error)}")
        sent = 0
        try:
            for key in keys:
                mail = await self._store.transact(mails.claim, key, self._now())
                if mail is None:
                    continue
                failure = broken or await self._send(client, mail)
                await self._store.transact(mails.settle, key, failure, self._now())
                if failure is None:
                    sent += 1
                else:
                    _log().warning(
                        "a mail was not sent", template=mail.template, reason=failure.text
                    )
        finally:
            client.close()
        return sent

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        assert server is not None
        secure = server.scheme == "smtps"
        return aiosmtplib.SMTP(
            hostname=server.hostname,
            port=server.port or (465 if secure else 25),
            use_tls=secure,
            username=unquote(server.username) if server.username else None,
            password=unquote(server.password) if server.password else None,
            timeout=TIMEOUT_S,
        )

    async def _send(self, client: aiosmtplib.SMTP, mail: Mail) -> mails.Failure | None:
        try:
            message = compose(mail, self._url, self._now())
        except ValueError as error:
            return mails.Failure(f"cannot be written: {error}", final=True)
        try:
            await client.send_message(message, recipients=[mail.to])
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            return mails.Failure(
                _said(error), final=all(code in REFUSED_FOR_GOOD for code in codes)
            )
        except aiosmtplib.SMTPDataError as error:
            return mails.Failure(_said(error), final=error.code in REFUSED_FOR_GOOD)
        except (aiosmtplib.SMTPException, OSError) as error:
            return mails.Failure(_said(error))
        return None


def compose(mail: Mail, url: str, now: datetime) -> EmailMessage:
    """The message of a mail. Raises ValueError for an address or a template that cannot be."""
    written = write(mail.template, mail.values, url)
    host = urlsplit(url).hostname or "localhost"
    message = EmailMessage()
    message["From"] = Address("HexHub", "noreply", host)
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = written.subject
    message["Date"] = email.utils.format_datetime(now)
    # The same for every attempt, so that a server which took one twice can tell.
    digest = hashlib.sha256("\0".join((mail.moment, mail.to, mail.n)).encode()).hexdigest()
    message["Message-ID"] = f"<{digest[:32]}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(written.text)
    message.add_alternative(written.html, subtype="html")
    return message


def _pass_on_cancelling() -> None:
    """`asyncio.wait_for` of Python 3.11, which aiosmtplib uses, loses a cancellation that comes
    together with what it waits for; a node that stops would then wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _said(error: Exception) -> str:
    """What went wrong, on one line, without the server's address or our password."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _log() -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log
