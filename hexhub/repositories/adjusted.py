"""Keeps the mirror of this node at what the tables say, over what the node was configured with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster import Change
from hexhub.domain import mirror_settings
from hexhub.domain.mirror_settings import MIRROR, MirrorSettings
from hexhub.schema import Setting

if TYPE_CHECKING:
    from cluster import Store
    from hexhub.repositories.mirror import Mirror


class Adjusted:
    """`configured` is what holds on this node where the tables say nothing."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror
        self._settings = mirror.upstream.settings
        self.offline = self._settings.offline
        """Whether this node never dials out, whatever the tables say."""
        self.configured = MirrorSettings(
            wait=round(self._settings.wait_s * 1000),
            timeout=round(self._settings.timeout_s * 1000),
            retry_attempts=self._settings.retry_attempts,
            retry_delay=round(self._settings.retry_delay_s * 1000),
            connections=self._settings.connections,
            quota=mirror.quota,
        )
        store.subscribe(self._changed)
        self._apply()

    def configure(
        self,
        *,
        wait: int,
        timeout: int,
        retry_attempts: int,
        retry_delay: int,
        connections: int,
        quota: int,
    ) -> None:
        """Other settings of this node; times in milliseconds. What the tables say goes first."""
        self.configured = MirrorSettings(
            wait=wait,
            timeout=timeout,
            retry_attempts=retry_attempts,
            retry_delay=retry_delay,
            connections=connections,
            quota=quota,
        )
        self._settings = replace(
            self._settings,
            wait_s=wait / 1000,
            timeout_s=timeout / 1000,
            retry_attempts=retry_attempts,
            retry_delay_s=retry_delay / 1000,
            connections=connections,
        )
        self._apply()

    def _changed(self, change: Change) -> None:
        if change.keys is None or (Setting, (MIRROR,)) in change.keys:
            self._apply()

    def _apply(self) -> None:
        with self._store.view() as view:
            new = mirror_settings.current(view)
        configured = self._settings
        self._mirror.quota = self.configured.quota or 0 if new.quota is None else new.quota
        self._mirror.upstream.adjust(
            replace(
                configured,
                offline=self.offline or new.paused,
                paused=new.paused and not self.offline,
                wait_s=configured.wait_s if new.wait is None else new.wait / 1000,
                timeout_s=configured.timeout_s if new.timeout is None else new.timeout / 1000,
                retry_attempts=configured.retry_attempts
                if new.retry_attempts is None
                else new.retry_attempts,
                retry_delay_s=configured.retry_delay_s
                if new.retry_delay is None
                else new.retry_delay / 1000,
                connections=configured.connections if new.connections is None else new.connections,
            )
        )
