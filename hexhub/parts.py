"""Parts of a node, made as its settings say: storage, mirror, pictures, backups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from cluster import Node, Store
from hexhub import __version__, turns
from hexhub.backup.schedule import Schedule
from hexhub.config import Config
from hexhub.domain import objects
from hexhub.errors import Refused, Unavailable
from hexhub.repositories import verification
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.pictures import Pictures
from hexhub.repositories.rule_book import RuleBook
from hexhub.repositories.upstream import Upstream, UpstreamSettings
from hexhub.storage import Storage
from hexhub.storage.catch_up import CatchUp
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.local import LocalStorage
from hexhub.storage.memory import SmallBlobs
from hexhub.storage.peers import PeerStorage
from hexhub.storage.s3 import Bucket, S3Storage
from hexhub.storage.spool import Spool


async def open_storage(config: Config) -> LocalStorage | S3Storage | HybridStorage:
    """This node's objects, as STORAGE_TYPE says. Raises Refused for a bucket that cannot work."""
    if config.storage_type == "local":
        return LocalStorage(config.storage_path)
    bucket = await S3Storage.connect(bucket_of(config))
    bucket.redirects = config.s3_redirect
    try:
        await bucket.check()
    except Unavailable as error:  # it may come back: reads of what is here go on meanwhile
        structlog.get_logger().warning("the bucket does not answer", reason=str(error))
    except BaseException:
        await bucket.close()
        raise
    if config.storage_type == "s3":
        return bucket
    local = LocalStorage(config.storage_path)
    hybrid = HybridStorage(
        bucket, local, Spool(config.data_dir / "spool-cache"), config.s3_cache_size
    )
    await hybrid.begin()
    return hybrid


def bucket_of(config: Config) -> Bucket:
    """The bucket that the settings name. Raises Refused when they name none."""
    if config.s3_bucket is None:
        raise Refused("S3_BUCKET is not set")
    secret = config.aws_secret_access_key
    endpoint = None
    if config.aws_s3_host is not None:
        port = f":{config.aws_s3_port}" if config.aws_s3_port else ""
        host = f"[{config.aws_s3_host}]" if ":" in config.aws_s3_host else config.aws_s3_host
        endpoint = f"{config.aws_s3_scheme}://{host}{port}"
    return Bucket(
        name=config.s3_bucket,
        prefix=config.s3_bucket_path,
        region=config.aws_region,
        endpoint=endpoint,
        path_style=config.aws_s3_path_style,
        access_key_id=config.aws_access_key_id,
        secret_access_key=secret.reveal() if secret else None,
        encryption=config.s3_encryption,
        kms_key=config.s3_kms_key,
    )


def shared(config: Config, node: Node, spool: Spool, storage: Storage) -> Storage:
    """Local objects are held by several nodes; what is elsewhere is shared already."""
    if isinstance(storage, S3Storage | HybridStorage):
        bucket = storage.bucket if isinstance(storage, HybridStorage) else storage
        bucket.may_sweep = partial(_may_sweep_bucket, node)
        return storage
    if not node.clustered or not isinstance(storage, LocalStorage):
        return storage
    return PeerStorage(storage, spool, node.streams, config.node_name, node.members)


def _may_sweep_bucket(node: Node, applied: int) -> bool:
    """The bucket is everybody's: one node sweeps, and only what no member can still point to."""
    state = node.status()
    return state.role == "leader" and all(
        member.reachable and member.applied >= applied for member in state.members
    )


def catch_up(storage: PeerStorage, store: Store) -> CatchUp:
    return CatchUp(
        storage, store, objects.CARRIERS, objects.of, partial(turns.pointed_to, settle_s=0)
    )


def open_mirror(
    config: Config,
    store: Store,
    storage: Storage,
    small_blobs: SmallBlobs,
    spool: Spool,
    rule_book: RuleBook,
) -> Mirror | None:
    """The mirror of the upstream; None when there is no upstream. Nothing is asked yet."""
    if not config.upstream_enabled:
        return None
    settings = UpstreamSettings(
        urls={
            "repo": config.upstream_repo_url,
            "api": config.upstream_api_url,
            "builds": config.upstream_builds_url,
        },
        timeout_s=config.upstream_timeout / 1000,
        wait_s=config.upstream_wait / 1000,
        retry_attempts=config.upstream_retry_attempts,
        retry_delay_s=config.upstream_retry_delay / 1000,
        connections=config.upstream_connections,
        ca_file=config.upstream_ca_file,
        offline=config.offline,
        user_agent=f"HexHub/{__version__} (caching mirror)",
    )
    return Mirror(
        Upstream(settings, spool, rule_book.now),
        store,
        storage,
        small_blobs,
        verification.public_key(config.upstream_public_key_file),
        rule_book.now,
        rule_book=rule_book,
        quota=config.mirror_quota,
    )


def open_pictures(config: Config, now: Callable[[], datetime]) -> Pictures:
    return Pictures(
        now,
        enabled=config.readme_pictures and not config.offline,
        user_agent=f"HexHub/{__version__} (pictures of READMEs)",
        ca_file=config.upstream_ca_file,
    )


def schedule(config: Config) -> Schedule | None:
    if config.backup_dir is None:
        return None
    phrase = config.backup_passphrase
    return Schedule(
        folder=config.backup_dir,
        every=timedelta(hours=config.backup_every),
        keep=config.backup_keep,
        passphrase=phrase.reveal() if phrase else None,
        tables_only=config.storage_type != "local",
    )
