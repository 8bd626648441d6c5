"""Backups by the clock into a folder, the newest few kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from cluster import ClusterError
from hexhub.backup import write
from hexhub.domain.backups import Outcome
from hexhub.errors import HubError, NotFound

LOOK_EVERY_S = 60.0
STAMP = "%Y%m%dT%H%M%SZ"
NAME = re.compile(r"hexhub-(\d{8}T\d{6}Z)\.tar\.gz")

Note = Callable[[Outcome], Awaitable[None]]


def _nothing(count: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass(kw_only=True)
class Schedule:
    """When and where; `last` is when the newest whole backup was begun, `failures` counts."""

    folder: Path
    every: timedelta
    keep: int
    passphrase: str | None
    tables_only: bool
    failures: int = 0
    last: datetime | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def due(self, now: datetime) -> bool:
        """Whether it is time; after a restart what the folder holds counts."""
        self.last = max((moment for moment, _ in self.kept()), default=None)
        return self.last is None or now - self.last >= self.every

    async def once(self, source: write.Source, progress: Callable[[int], None] = _nothing) -> Path:
        """Make a backup now and delete those beyond `keep`. Raises OSError, ClusterError.

        `progress` hears the bytes of each piece that is written.
        """
        async with self._turn:
            return await self._once(source, progress)

    async def _once(self, source: write.Source, progress: Callable[[int], None]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = source.now()
        path = self.folder / f"hexhub-{now.astimezone(UTC).strftime(STAMP)}.tar.gz"
        pieces = write.stream(source, passphrase=self.passphrase, tables_only=self.tables_only)
        await write.to_file(path, _told(pieces, progress))
        self.last = now
        for _, old in sorted(self.kept())[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    async def run(
        self, source: write.Source, leads: Callable[[], bool], note: Note | None = None
    ) -> None:
        """Make one whenever it is due, for ever; in a cluster only the leader does.

        `note` hears what came of each.
        """
        log = structlog.get_logger()
        while True:
            if leads() and self.due(source.now()):
                try:
                    path = await self.once(source)
                    outcome = Outcome(at=source.now(), file=path.name, size=path.stat().st_size)
                    log.info("backup made", path=str(path))
                except (OSError, HubError, ClusterError) as error:
                    self.failures += 1
                    outcome = Outcome(at=source.now(), error=str(error) or type(error).__name__)
                    log.error("backup failed", reason=str(error))
                if note is not None:
                    await note(outcome)
            await asyncio.sleep(LOOK_EVERY_S)

    def find(self, name: str) -> Path:
        """The backup of this file name. Raises NotFound for every other name."""
        path = self.folder / name
        if NAME.fullmatch(name) is None or not path.is_file():
            raise NotFound("No such backup is here.")
        return path

    def kept(self) -> list[tuple[datetime, Path]]:
        """What the folder holds: when each was begun, and its file."""
        if not self.folder.is_dir():
            return []
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return [
            (datetime.strptime(match[1], STAMP).replace(tzinfo=UTC), path)
            for match, path in matches
            if match
        ]


async def _told(
    pieces: AsyncIterator[bytes], progress: Callable[[int], None]
) -> AsyncIterator[bytes]:
    async for piece in pieces:
        progress(len(piece))
        yield piece
