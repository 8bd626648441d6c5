"""A real SMTP server on a loopback port, which keeps what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Any

from aiosmtpd.smtp import SMTP


@dataclass
class Mailbox:
    """What a server was given; `answer` is its reply to a mail, `refuse` to a recipient."""

    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    answer: str = "250 taken"
    refuse: str | None = None
    port: int = 0
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            message = message_from_bytes(envelope.content, policy=SMTP_POLICY)
            self.messages.append(message)
            self.recipients.append(list(envelope.rcpt_tos))
            self.taken.set()
        return self.answer

    def part(self, index: int, kind: str) -> str:
        """The text of a part (`plain` or `html`) of a message."""
        part = self.messages[index].get_body((kind,))
        assert part is not None
        return str(part.get_content())


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """A server that runs inside the block."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
