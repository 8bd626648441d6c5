"""Builds a node from a Config: its hub and the public face of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta

from cluster import ClusterError, Node, NodeSettings, Store
from cluster.discovery import Discovery
from hexhub import __version__, keyring, tracing
from hexhub.attempts import Attempts
from hexhub.backup.restore import unfinished
from hexhub.config import Config
from hexhub.counters import Counters
from hexhub.domain import settings, users
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid, NotFound, Refused
from hexhub.formats import sealed, signing_key
from hexhub.formats.access_token import TokenKey
from hexhub.http import hits
from hexhub.http.dispatch import Dispatcher, Log
from hexhub.http.gate import CurrentGate
from hexhub.http.hot_path import HotAnswers, HotPath
from hexhub.http.metrics import Metrics
from hexhub.http.request_log import HotLog
from hexhub.http.routes import ByHost, Router
from hexhub.http.server import HttpServer
from hexhub.hub import Hub, utc_now
from hexhub.jobs import Jobs
from hexhub.limits import Limits
from hexhub.mail import Sender
from hexhub.meeting import Meeting, advertised, bound
from hexhub.parts import catch_up, open_mirror, open_pictures, open_storage, schedule, shared
from hexhub.passwords import Passwords
from hexhub.patience import Patience
from hexhub.peer_clocks import PeerClocks
from hexhub.reloading import Reloading, openness_of
from hexhub.rendering import Rendering
from hexhub.repositories.adjusted import Adjusted
from hexhub.repositories.first_of import Shelf
from hexhub.repositories.held_back import HeldBack
from hexhub.repositories.own import Own
from hexhub.repositories.rule_book import RuleBook
from hexhub.repositories.together import Together
from hexhub.repositories.topics import Memo, Topics
from hexhub.schema import schema
from hexhub.search import Catalogue, DocsSearch
from hexhub.sites import api, hexdocs, ops, repo, web
from hexhub.storage.memory import SmallBlobs
from hexhub.storage.peers import PeerStorage
from hexhub.storage.spool import Spool
from hexhub.unpacked import Unpacked

FORMED_EVERY_S = 0.2
LAST_FLUSH_S = 3.0
FIRST_RUN_GOOD_FOR = timedelta(hours=24)
UNPACKING_THREADS = 2


def router(metrics: Metrics, docs_host: str | None = None) -> Router:
    """Every route of the public face; documentation perhaps on a host of its own."""
    face = Router(
        [
            *ops.routes.under(""),
            *ops.metrics_routes(metrics).under(""),
            *web.routes(metrics),
            *hexdocs.routes(web.recognise),
            *api.routes(),
            *repo.all_routes(),
        ]
    )
    if docs_host is None:
        return face
    return ByHost(face, {docs_host.lower(): hexdocs.host_router(web.recognise)})


@asynccontextmanager
async def open_hub(
    config: Config,
    *,
    now: Callable[[], datetime] = utc_now,
    wait: Callable[[Node], Awaitable[None]] | None = None,
    linked: bool = False,
    reloading: Reloading | None = None,
) -> AsyncIterator[Hub]:
    """Everything of a node but its listening sockets; closed in reverse.

    `linked`: it listens for other members; without, it is alone.
    `wait` is called when there are no tables yet, and returns when there are.
    """
    async with AsyncExitStack() as stack:
        if unfinished(config.data_dir):
            raise Refused(
                f"a restore into {config.data_dir} was cut off: run `hexhub backup restore` again"
            )
        root = keyring.root_secret(config)
        meeting = await stack.enter_async_context(Meeting.open(config))
        node = await _open_node(config, root, meeting.discovery if linked else None)
        stack.push_async_callback(node.close)
        store = node.store
        store.around = tracing.span
        if not _has_tables(store):
            await (wait or until_formed)(node)
        await _caught_up(node)
        key = await keyring.open_signing_key(config, store, root)
        topics = Topics(store)
        own = Own(store, key)
        stack.callback(own.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        spool = Spool(config.data_dir / "spool")
        storage = shared(config, node, spool, await open_storage(config))
        stack.push_async_callback(storage.close)
        unpacking = ThreadPoolExecutor(UNPACKING_THREADS, "unpacking")
        stack.callback(unpacking.shutdown)
        small_blobs = SmallBlobs()
        unpacked = Unpacked(storage, small_blobs, config.data_dir / "unpacked", unpacking)
        stack.callback(unpacked.close)
        docs_search = DocsSearch(
            store,
            unpacked,
            config.data_dir / "search" / "docs.sqlite3",
            upstream=config.upstream_enabled,
        )
        stack.push_async_callback(docs_search.close)
        indexing = asyncio.create_task(docs_search.run())
        stack.push_async_callback(end, indexing)
        rendering = Rendering()
        stack.push_async_callback(rendering.close)
        pictures = open_pictures(config, now)
        stack.push_async_callback(pictures.close)
        rule_book = RuleBook(store, now)
        mirror = open_mirror(config, store, storage, small_blobs, spool, rule_book)
        if mirror is not None:
            stack.push_async_callback(mirror.close)
            if node.clustered:
                mirror.mirrored.together = Together(
                    node.streams, config.node_name, node.members, mirror.vouch
                )
        hub = Hub(
            node=node,
            store=store,
            storage=storage,
            spool=spool,
            small_blobs=small_blobs,
            own=own,
            held_back=HeldBack(own, rule_book, store, key),
            topics=topics,
            package_objects=Memo(topics),
            mirror=mirror,
            shelf=Shelf(own, mirror, store, key) if mirror else None,
            adjusted=Adjusted(store, mirror) if mirror else None,
            jobs=Jobs(store, config.node_name, now),
            backups=schedule(config),
            passwords=passwords,
            clocks=PeerClocks(node.streams, config.node_name, node.members, now)
            if node.clustered
            else None,
            counters=Counters(store),
            sender=Sender(
                node, config.smtp_url.reveal() if config.smtp_url else None, config.url, now
            ),
            unpacked=unpacked,
            rendering=rendering,
            pictures=pictures,
            catalogue=Catalogue(store),
            docs_search=docs_search,
            unpacking=unpacking,
            attempts=Attempts(enabled=not config.hex_test_mode),
            patience=Patience(),
            limits=Limits(store, config.rate_limits, proxies=config.behind_proxy),
            token_key=TokenKey(root),
            sealing_key=sealed.derive(root, "second factors"),
            hashing_key=await keyring.open_hashing_key(store, root),
            root=root,
            public_key_pem=signing_key.public_key_pem(key),
            fingerprint=signing_key.fingerprint(key),
            url=config.url,
            docs_host=config.docs_host,
            openness=openness_of(config),
            reload=None if reloading is None else reloading.reload,
            test_mode=config.hex_test_mode,
            first_run_token=os.urandom(24).hex(),
            first_run_until=now() + FIRST_RUN_GOOD_FOR,
            find_peer=meeting.resolve,
            now=now,
        )
        stack.push_async_callback(_last_flush, hub)
        stack.push_async_callback(hub.jobs.close)
        if isinstance(storage, PeerStorage):
            catching_up = asyncio.create_task(catch_up(storage, store).run())
            stack.push_async_callback(end, catching_up)
        await _first_administrator(config, hub)
        if reloading is not None:
            reloading.hub = hub
            stack.callback(setattr, reloading, "hub", None)
        yield hub


async def _open_node(config: Config, root: bytes, discovery: Discovery | None) -> Node:
    """The tables. With a way to others it listens for them. Raises Refused."""
    about = NodeSettings(
        name=config.node_name,
        directory=config.data_dir / "cluster",
        version=__version__,
        secret=keyring.links_secret(config, root) if discovery else None,
        bind=bound(config) if discovery else None,
        advertise=advertised(config)[0],
        expect=config.cluster_expect,
        clustering=config.clustering_enabled,
        discovery=discovery,
    )
    try:
        return await Node.open(about, schema)
    except ClusterError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        if error.filename is not None:
            raise Refused(f"{error.filename}: {error.strerror}") from error
        host, port = bound(config)
        raise Refused(
            f"cannot listen for other nodes on {host}, port {port} ({error.strerror or error}): "
            "set another CLUSTER_PORT or CLUSTER_ADVERTISE"
        ) from error


def _has_tables(store: Store) -> bool:
    """Whether this node knows the keys of its hub, so that it can serve reads without a leader."""
    with store.view() as view:
        return settings.get(view, settings.HASHING_KEY) is not None


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _first_administrator(config: Config, hub: Hub) -> None:
    """The administrator that the environment names, when there is none yet (design §9)."""
    if config.admin_user is None or config.admin_password is None:
        return
    with hub.store.view() as view:
        if users.administrators(view):
            return
    hashed = await hub.passwords.hash(config.admin_password.reveal())
    try:
        await hub.store.transact(
            users.create_first_administrator,
            OPERATOR,
            config.admin_user,
            config.admin_email,
            hashed,
            hub.now(),
        )
    except NotFound:
        return  # another node of this cluster was faster
    except (Invalid, ClusterError) as error:
        raise Refused(f"HEXHUB_ADMIN_*: {error}") from None


async def _last_flush(hub: Hub) -> None:
    """Keep what was counted, unless nobody leads: when all nodes stop at once, the last cannot."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_FLUSH_S):
            await hub.counters.flush()


async def _caught_up(node: Node) -> None:
    """Come as far as the others before anything is answered; alone in a minority, go on as it is."""
    with suppress(ClusterError):
        await node.caught_up()


async def until_formed(node: Node) -> None:
    """Until there is a cluster, and this node has come as far as it."""
    while True:
        try:
            return await node.store.barrier()
        except ClusterError:
            await asyncio.sleep(FORMED_EVERY_S)


def public_face(
    config: Config, hub: Hub, metrics: Metrics, log: Log, *, hot: bool = True
) -> HttpServer:
    """What listens on the public port; without `hot` every answer is made anew."""
    routes = router(metrics, config.docs_host)
    if hot:
        # The system's own clock costs a tenth of a datetime, and this is asked for each answer.
        now = time.time if hub.now is utc_now else lambda: hub.now().timestamp()
        answers = HotAnswers(hub.topics.marks, lent=hub.node.lease_valid, now=now)
        server = HttpServer(
            Dispatcher(hub, routes, metrics, log, answers),
            HotPath(
                answers,
                CurrentGate(hub.limits, hub.topics.marks),
                metrics.tallies,
                hits.counting(hub, metrics.tallies),
                HotLog(log),
                config.docs_host,
            ),
        )
    else:
        server = HttpServer(Dispatcher(hub, routes, metrics, log))
    metrics.node.listening = server
    return server
