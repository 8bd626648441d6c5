"""What may change while a node runs does, each setting of it; the rest is named and left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hexhub import logs
from hexhub.config import declared, load
from hexhub.errors import Refused
from hexhub.hub import Hub
from hexhub.reloading import Reloading, apply
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.s3 import S3Storage
from tests.hexhub import hubs
from tests.hexhub.mirrors import Pair
from tests.hexhub.packages import package

PHRASE = "a new long passphrase"

Seen = tuple[str, Callable[[Hub], object], object]

LIVE: dict[str, Seen] = {
    "behind_proxy": (
        "10.0.0.0/8",
        lambda hub: hub.limits.proxies,
        (ip_network("10.0.0.0/8"),),
    ),
    "rate_limits": ("ip=7", lambda hub: hub.limits._limits.ip, 7),
    "registration": ("open", lambda hub: hub.registration_open, True),
    "anonymous_read": ("false", lambda hub: hub.anonymous_read, "false"),
    "basic_auth": ("false", lambda hub: hub.basic_auth, False),
    "require_two_factor": ("true", lambda hub: hub.require_two_factor, True),
    "dependency_check": ("off", lambda hub: hub.dependency_check, "off"),
    "smtp_url": (
        "smtp://mail:25",
        lambda hub: (hub.sender.enabled, hub.confirm_addresses),
        (True, True),
    ),
    "backup_every": ("3", lambda hub: hub.backups and hub.backups.every, timedelta(hours=3)),
    "backup_keep": ("2", lambda hub: hub.backups and hub.backups.keep, 2),
    "backup_passphrase": (PHRASE, lambda hub: hub.backups and hub.backups.passphrase, PHRASE),
    "upstream_timeout": ("1234", lambda hub: upstream(hub).timeout_s, 1.234),
    "upstream_retry_attempts": ("9", lambda hub: upstream(hub).retry_attempts, 9),
    "upstream_retry_delay": ("77", lambda hub: upstream(hub).retry_delay_s, 0.077),
    "upstream_connections": ("3", lambda hub: upstream(hub).connections, 3),
    "upstream_wait": ("4321", lambda hub: upstream(hub).wait_s, 4.321),
    "mirror_quota": ("5000", lambda hub: hub.mirror and hub.mirror.quota, 5000),
}


def upstream(hub: Hub) -> Any:
    assert hub.mirror is not None
    return hub.mirror.upstream.settings


@pytest.fixture(autouse=True)
def _level() -> Any:
    yield
    logs.set_level("info")


async def test_every_live_setting_is_taken_up(tmp_path: Path, pair: Pair) -> None:
    folder = {"HEXHUB_BACKUP_DIR": str(tmp_path / "backups")}
    hubs_settings = {name.lower(): text for name, text in folder.items()}
    async with hubs.running(tmp_path / "third", **hubs_settings) as hub:
        for name, (text, seen, expected) in LIVE.items():
            of = pair.hub.hub if "upstream" in name or name == "mirror_quota" else hub.hub
            assert seen(of) != expected, name
            environ = {f"HEXHUB_{name.upper()}": text, **folder}
            apply(load(environ, checkout=tmp_path), of)
            assert seen(of) == expected, name


def test_no_live_setting_is_without_a_test() -> None:
    elsewhere = {"log_level", "s3_redirect", "s3_cache_size"}
    assert {name for name, about in declared().items() if about.live} == set(LIVE) | elsewhere


async def test_how_a_bucket_is_used_may_change(hub: hubs.TestHub, tmp_path: Path) -> None:
    bucket = S3Storage.__new__(S3Storage)
    hybrid = HybridStorage.__new__(HybridStorage)
    hybrid.bucket = bucket
    environ = {"S3_REDIRECT": "true", "HEXHUB_S3_CACHE_SIZE": "2000000"}
    fake = cast(Hub, SimpleNamespace(**(vars(hub.hub) | {"storage": hybrid})))
    apply(load(environ, checkout=tmp_path), fake)
    assert bucket.redirects
    assert hybrid.size_max == 2_000_000


async def test_what_everybody_could_read_is_not_answered_from_memory_afterwards(
    tmp_path: Path,
) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        assert (await mara.publish(package("decimal"))).status == 201
        assert (await hub.nobody.get("/packages/decimal")).status == 200
        assert (await hub.nobody.get("/packages/decimal")).status == 200
        apply(load({"ANONYMOUS_READ": "false"}, checkout=tmp_path), hub.hub)
        assert (await hub.nobody.get("/packages/decimal")).status == 404
        assert (await mara.get("/packages/decimal")).status == 200


async def test_unsafe_changes_are_named_and_not_made(tmp_path: Path) -> None:
    environ = {"REGISTRATION": "closed", "PORT": "4000"}
    reloading = Reloading(
        load(environ, checkout=tmp_path), lambda: load(environ, checkout=tmp_path)
    )
    assert (await reloading.reload()).changed == []
    environ |= {"REGISTRATION": "open", "PORT": "4001", "HEXHUB_LOG_LEVEL": "error"}
    reloaded = await reloading.reload()
    assert set(reloaded.changed) == {"REGISTRATION", "HEXHUB_LOG_LEVEL"}
    assert logs._Level.least == logs.LEVELS["error"]
    # CLUSTER_PORT follows from PORT, and HEXHUB_URL too.
    assert set(reloaded.needs_restart) == {"PORT", "CLUSTER_PORT", "HEXHUB_URL"}
    assert (reloading.config.registration, reloading.config.port) == ("open", 4000)
    assert (await reloading.reload()).changed == []


async def test_settings_that_are_wrong_change_nothing(tmp_path: Path) -> None:
    environ = {"HEXHUB_HOST": "0.0.0.0", "BEHIND_PROXY": "10.0.0.1"}
    before = load(environ, checkout=tmp_path)
    reloading = Reloading(before, lambda: load(environ, checkout=tmp_path))
    environ |= {"REGISTRATION": "open", "RATE_LIMITS": "many"}
    with pytest.raises(Refused, match="RATE_LIMITS"):
        await reloading.reload()
    environ |= {"RATE_LIMITS": "true", "BEHIND_PROXY": ""}
    with pytest.raises(Refused, match="in clear"):
        await reloading.reload()
    assert reloading.config == before
