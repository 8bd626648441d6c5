"""Takes up changed settings while a node runs: those that may change are applied, others named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from hexhub import logs
from hexhub.config import Config, check_listening, declared
from hexhub.errors import Refused
from hexhub.hub import Hub, Openness, Reloaded
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.s3 import S3Storage

Again = Callable[[], Config]


def openness_of(config: Config) -> Openness:
    """What these settings allow to whom."""
    return Openness(
        anonymous_read=config.anonymous_read,
        registration_open=config.registration == "open",
        basic_auth=config.basic_auth,
        require_two_factor=config.require_two_factor,
        confirm_addresses=config.smtp_url is not None and not config.hex_test_mode,
        dependency_check=config.dependency_check,
    )


class Reloading:
    """The settings that hold on a node; `hub` is there while it serves."""

    def __init__(self, config: Config, again: Again | None = None) -> None:
        """`again` reads the settings anew, from where they came from."""
        self.config = config
        self.hub: Hub | None = None
        self._again = again
        self._task: asyncio.Future[None] | None = None

    async def reload(self) -> Reloaded:
        """Read the settings again and take up what may change. Raises Refused, then nothing did."""
        if self._again is None:
            raise Refused("this node cannot read its settings again")
        new = await asyncio.to_thread(self._again)
        names = [name for name in declared() if getattr(new, name) != getattr(self.config, name)]
        live = [name for name in names if declared()[name].live]
        config = replace(self.config, **{name: getattr(new, name) for name in live})
        check_listening(config)
        self.config = config
        if live:
            logs.set_level(config.log_level)
            if self.hub is not None:
                apply(config, self.hub)
        shown = {name: declared()[name].written(name) for name in names}
        reloaded = Reloaded(
            changed=[shown[name] for name in live],
            needs_restart=[shown[name] for name in names if name not in live],
        )
        _say(reloaded)
        return reloaded

    def told(self) -> None:
        """Reload because of a signal, whose sender hears of it by the log."""
        self._task = asyncio.ensure_future(self._reload_and_say())

    async def _reload_and_say(self) -> None:
        try:
            await self.reload()
        except Refused as error:
            structlog.get_logger().error("the old settings stay", reason=str(error))


def _say(reloaded: Reloaded) -> None:
    log = structlog.get_logger()
    log.info("settings read again", changed=reloaded.changed)
    if reloaded.needs_restart:
        log.warning("settings that need a restart", settings=reloaded.needs_restart)


def apply(config: Config, hub: Hub) -> None:
    """Have a hub go on with the live ones of these settings."""
    hub.openness.take(openness_of(config))
    hub.limits.adjust(config.rate_limits, config.behind_proxy)
    hub.sender.adjust(config.smtp_url.reveal() if config.smtp_url else None)
    if hub.backups is not None:
        phrase = config.backup_passphrase
        hub.backups.every = timedelta(hours=config.backup_every)
        hub.backups.keep = config.backup_keep
        hub.backups.passphrase = phrase.reveal() if phrase else None
    if hub.adjusted is not None:
        hub.adjusted.configure(
            wait=config.upstream_wait,
            timeout=config.upstream_timeout,
            retry_attempts=config.upstream_retry_attempts,
            retry_delay=config.upstream_retry_delay,
            connections=config.upstream_connections,
            quota=config.mirror_quota,
        )
    storage = hub.storage
    bucket = storage.bucket if isinstance(storage, HybridStorage) else storage
    if isinstance(bucket, S3Storage):
        bucket.redirects = config.s3_redirect
    if isinstance(storage, HybridStorage):
        storage.size_max = config.s3_cache_size
    # An answer may have been kept because everybody could read it.
    hub.topics.forget_all()
