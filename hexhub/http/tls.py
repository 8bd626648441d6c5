"""TLS of the public port: the certificate of the settings, taken up anew when its files change."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import structlog

from hexhub.errors import Refused

LOOK_EVERY_S = 10.0


class Certificates:
    """A context for the listening socket. New connections get the newest pair that was good."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises Refused for files that cannot be read or do not belong together."""
        self._files = (certificate, key)
        self._seen = self._state()
        self.told = asyncio.Event()
        """Set it to have the files looked at now."""
        try:
            self.context = self._newest = self._fresh()
        except (OSError, ssl.SSLError) as error:
            raise Refused(f"TLS_CERT and TLS_KEY: {_words(error)}") from None
        self.context.sni_callback = self._use_newest

    def _use_newest(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        """Asked in every handshake. A context that is in use is never changed: a handshake that
        met a new key beside an old certificate would fail."""
        connection.context = self._newest

    def _fresh(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A key with a password would make the process ask on its terminal.
        context.load_cert_chain(*self._files, password=_no_password)
        return context

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._files:
            try:
                state = path.stat()
                found.append((state.st_ino, state.st_mtime_ns, state.st_size))
            except OSError:
                found.append(None)
        return tuple(found)

    def look(self) -> bool:
        """Take up a changed pair; whether there was one. What is bad is refused, the old stays.

        Raises Refused, once for each change.
        """
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            self._newest = self._fresh()
        except (OSError, ssl.SSLError) as error:
            raise Refused(f"the new TLS_CERT and TLS_KEY: {_words(error)}") from None
        return True

    async def run(self) -> None:
        """Look every few seconds, and whenever told to, for ever."""
        log = structlog.get_logger()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self.told.wait()
            self.told.clear()
            try:
                if await asyncio.to_thread(self.look):
                    log.info("new certificate taken up", path=str(self._files[0]))
            except Refused as error:
                log.error("the old certificate stays", reason=str(error))


def _no_password() -> str:
    raise ssl.SSLError("the key has a password; give it without one")


def _words(error: OSError) -> str:
    return str(error.strerror or error)
