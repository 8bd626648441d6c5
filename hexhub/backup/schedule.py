"""Backups by the clock into a folder, the newest few kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from cluster import ClusterError
from hexhub.backup import write
from hexhub.errors import HubError

LOOK_EVERY_S = 60.0
STAMP = "%Y%m%dT%H%M%SZ"
NAME = re.compile(r"hexhub-(\d{8}T\d{6}Z)\.tar\.gz")


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

    def due(self, now: datetime) -> bool:
        """Whether it is time; after a restart what the folder holds counts."""
        self.last = max((moment for moment, _ in self._kept()), default=None)
        return self.last is None or now - self.last >= self.every

    async def once(self, source: write.Source) -> Path:
        """Make a backup now and delete those beyond `keep`. Raises OSError, ClusterError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = source.now()
        path = self.folder / f"hexhub-{now.astimezone(UTC).strftime(STAMP)}.tar.gz"
        pieces = write.stream(source, passphrase=self.passphrase, tables_only=self.tables_only)
        await write.to_file(path, pieces)
        self.last = now
        for _, old in sorted(self._kept())[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    async def run(self, source: write.Source, leads: Callable[[], bool]) -> None:
        """Make one whenever it is due, for ever; in a cluster only the leader does."""
        log = structlog.get_logger()
        while True:
            if leads() and self.due(source.now()):
                try:
                    path = await self.once(source)
                    log.info("backup made", path=str(path))
                except (OSError, HubError, ClusterError) as error:
                    self.failures += 1
                    log.error("backup failed", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    def _kept(self) -> list[tuple[datetime, Path]]:
        if not self.folder.is_dir():
            return []
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return [
            (datetime.strptime(match[1], STAMP).replace(tzinfo=UTC), path)
            for match, path in matches
            if match
        ]
