"""Builds a node from a Config; the only place that chooses implementations. A parts list."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
from aiohttp.web import Server, ServerRunner, SockSite, UnixSite

from cluster import ClusterError, Node, NodeSettings, Store
from cluster.discovery import Discovery
from hexhub import __version__, control_socket, expiry, keyring, running, sealer, tracing, turns
from hexhub.advisory_feed import AdvisoryFeed
from hexhub.attempts import Attempts
from hexhub.backup.restore import unfinished
from hexhub.backup.schedule import Schedule
from hexhub.config import Config, check_listening
from hexhub.counters import Counters
from hexhub.domain import backups, objects, settings, users
from hexhub.domain.audit import OPERATOR
from hexhub.eraser import Eraser
from hexhub.errors import Invalid, NotFound, Refused, Unavailable
from hexhub.formats import sealed, signing_key
from hexhub.formats.access_token import TokenKey
from hexhub.http import hits
from hexhub.http.dispatch import Dispatcher, Log
from hexhub.http.gate import CurrentGate
from hexhub.http.hot_path import HotAnswers, HotPath
from hexhub.http.listening import BACKLOG, SharedSite, bind
from hexhub.http.metrics import Metrics
from hexhub.http.request_log import HotLog
from hexhub.http.routes import ByHost, Router
from hexhub.http.server import HttpServer
from hexhub.http.tls import Certificates
from hexhub.http.waiting import Waiting
from hexhub.hub import Hub, client_lines, utc_now
from hexhub.jobs import Jobs
from hexhub.limit_exchange import LimitExchange
from hexhub.limits import Limits
from hexhub.mail import Sender
from hexhub.meeting import Meeting, advertised, bound
from hexhub.passwords import Passwords
from hexhub.peer_clocks import PeerClocks
from hexhub.readers import keeping
from hexhub.readers.keeping import Readers
from hexhub.readers.lending import About
from hexhub.readers.messages import Begin
from hexhub.reloading import Reloading, openness_of
from hexhub.rendering import Rendering
from hexhub.repositories import verification
from hexhub.repositories.adjusted import Adjusted
from hexhub.repositories.first_of import Shelf
from hexhub.repositories.held_back import HeldBack
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.own import Own
from hexhub.repositories.pictures import Pictures
from hexhub.repositories.rule_book import RuleBook
from hexhub.repositories.together import Together
from hexhub.repositories.topics import Memo, Topics
from hexhub.repositories.upstream import Upstream, UpstreamSettings
from hexhub.schema import schema
from hexhub.search import Catalogue, DocsSearch
from hexhub.sites import api, hexdocs, operator as operator_face, ops, repo, web
from hexhub.storage import Storage
from hexhub.storage.catch_up import CatchUp
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.local import LocalStorage
from hexhub.storage.memory import SmallBlobs
from hexhub.storage.peers import PeerStorage
from hexhub.storage.s3 import Bucket, S3Storage
from hexhub.storage.spool import Spool
from hexhub.unpacked import Unpacked

DRAIN_S = 30.0
"""What a stop takes at most, with all of its parts; supervisors are told to grant a little more."""
IN_FLIGHT_S = 20.0
COMMANDS_S = 3.0
CUT_OFF_S = 1.0
"""Twice: for a handler that is told that its client is gone, and for its end."""
SWEEP_EVERY_S = 3600.0
SWEEP_GRACE_S = 24 * 3600.0
FORMED_EVERY_S = 0.2
LAST_FLUSH_S = 3.0
HAND_OVER_S = 3.0
GOODBYE_S = 0.5
LOOK_EVERY_S = 0.1
LOOKS_MAX = 10
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
            await (wait or _formed)(node)
        await _caught_up(node)
        key = await keyring.open_signing_key(config, store, root)
        topics = Topics(store)
        own = Own(store, key)
        stack.callback(own.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        spool = Spool(config.data_dir / "spool")
        storage = _shared(config, node, spool, await open_storage(config))
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
        stack.push_async_callback(_end, indexing)
        rendering = Rendering()
        stack.push_async_callback(rendering.close)
        pictures = _pictures(config, now)
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
            backups=_schedule(config),
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
            catching_up = asyncio.create_task(_catch_up(storage, store).run())
            stack.push_async_callback(_end, catching_up)
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


def _shared(config: Config, node: Node, spool: Spool, storage: Storage) -> Storage:
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


def _catch_up(storage: PeerStorage, store: Store) -> CatchUp:
    return CatchUp(
        storage, store, objects.CARRIERS, objects.of, partial(turns.pointed_to, settle_s=0)
    )


def _has_tables(store: Store) -> bool:
    """Whether this node knows the keys of its hub, so that it can serve reads without a leader."""
    with store.view() as view:
        return settings.get(view, settings.HASHING_KEY) is not None


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


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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


def _pictures(config: Config, now: Callable[[], datetime]) -> Pictures:
    return Pictures(
        now,
        enabled=config.readme_pictures and not config.offline,
        user_agent=f"HexHub/{__version__} (pictures of READMEs)",
        ca_file=config.upstream_ca_file,
    )


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


def _allow_descriptors() -> None:
    """Let this process have as many connections and files as it may ever have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(
    config: Config,
    log: structlog.typing.FilteringBoundLogger,
    again: Callable[[], Config] | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT, then drain for up to 30 s.

    `again` reads the settings anew, on SIGHUP and when the operator asks for it.
    """
    check_listening(config)
    _check_port(config)
    _allow_descriptors()
    sock = bind(config.host, config.port)
    async with AsyncExitStack() as stack:
        stack.callback(sock.close)
        if config.otel_endpoint is not None:
            from hexhub import otel  # only here: the extra may not be installed

            share = config.otel_share / 100
            stack.callback(otel.start(config.otel_endpoint, node=config.node_name, share=share))
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        cluster_host, cluster_port = advertised(config)
        announcement = running.announce(
            config.checkout,
            running.Running(
                name=config.node_name,
                pid=os.getpid(),
                host=config.host,
                port=config.port,
                url=config.url,
                data_dir=str(config.data_dir),
                cluster_host=cluster_host,
                cluster_port=cluster_port,
            ),
        )
        if announcement is not None:
            stack.callback(announcement.withdraw)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        certificates = _certificates(config)
        reloading = Reloading(config, again)
        face = Face(reloading, sock, Metrics(), log, certificates)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _read_again, face)
        if certificates is not None:
            stack.push_async_callback(_end, asyncio.create_task(certificates.run()))
        while not stop.is_set():
            await _live(face, stop)
        log.info("stopped", node=config.node_name)


def _read_again(face: Face) -> None:
    """Whoever sends SIGHUP wants files to be read again, not the node to end."""
    if face.certificates is not None:
        face.certificates.told.set()
    if face.metrics.processes.readers is not None:
        face.metrics.processes.readers.renew()
    face.reloading.told()


def _certificates(config: Config) -> Certificates | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Certificates(config.tls_cert, config.tls_key)


@dataclass(frozen=True, slots=True)
class Face:
    """What stays while the tables of a node may become others: its socket, settings and log."""

    reloading: Reloading
    sock: socket.socket
    metrics: Metrics
    log: structlog.typing.FilteringBoundLogger
    certificates: Certificates | None = None

    @property
    def config(self) -> Config:
        """The settings that hold now."""
        return self.reloading.config


async def _live(face: Face, stop: asyncio.Event) -> None:
    """Serve until told to stop, or until this node has joined or left a cluster."""
    config, log = face.config, face.log
    async with AsyncExitStack() as stack:
        try:
            hub = await stack.enter_async_context(
                open_hub(
                    config,
                    wait=partial(_wait_for_tables, face, stop),
                    linked=True,
                    reloading=face.reloading,
                )
            )
        except Stopped:
            return
        public = public_face(config, hub, face.metrics, log)
        routes = Router(operator_face.routes())
        operator = HttpServer(Dispatcher(hub, routes, face.metrics, log))
        readers = readers_of(face, hub, public)
        await stack.enter_async_context(_listening(face, public, operator, readers))
        _greet(config, hub)
        log.info("listening", node=config.node_name, url=config.url, version=__version__)
        await _until_told_to_stop(face, hub, stop)
        log.info("stopping" if stop.is_set() else "opening again", node=config.node_name)
        await _hand_over(hub.node)
        if stop.is_set():
            await _let_in(face.sock)
            face.sock.close()  # new connections are refused from here on, and tried elsewhere


async def _let_in(sock: socket.socket) -> None:
    """Let nobody queue up any more, and wait until who did is let in: a close would cut them off."""
    sock.listen(0)
    queue = select.poll()
    queue.register(sock, select.POLLIN)
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(LOOK_EVERY_S)
        if not queue.poll(0):
            return


@asynccontextmanager
async def _listening(
    face: Face, public: Server, operator: Server, readers: Readers | None = None
) -> AsyncIterator[None]:
    """Answer on the operator's socket and on the public one, and drain at the end.

    The public socket itself stays: who connects between two of these waits in the kernel.
    """
    data_dir = face.config.data_dir
    async with AsyncExitStack() as stack:
        for server in (operator, public):
            runner = ServerRunner(server, shutdown_timeout=CUT_OFF_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            if server is public:
                await listen(face, runner, server, readers, stack)
                continue
            with control_socket.short_path(data_dir, fresh=True) as path:
                await UnixSite(runner, path).start()
                os.chmod(path, 0o600)
            stack.callback(control_socket.remove, data_dir)
            stack.push_async_callback(_drain, server, COMMANDS_S)
        yield


async def listen(
    face: Face,
    runner: ServerRunner,
    server: Server,
    readers: Readers | None,
    stack: AsyncExitStack,
) -> None:
    """Accept connections, here and in readers, until the stack is left."""
    sock = face.sock.dup()
    site: SockSite | SharedSite
    if readers is not None and isinstance(server, HttpServer):
        site = SharedSite(server, sock)
    else:
        context = face.certificates.context if face.certificates else None
        site = SockSite(runner, sock, backlog=BACKLOG, ssl_context=context)
    await site.start()
    stack.push_async_callback(_see_off, server, site, readers)
    if readers is not None:
        await readers.start()


async def _see_off(
    server: Server, site: SockSite | SharedSite, readers: Readers | None = None
) -> None:
    """Take no more connections, and let those that are kept open end with an answer."""
    await site.stop()
    if isinstance(server, HttpServer):
        server.say_goodbye()
        if server.connections:
            await asyncio.sleep(GOODBYE_S)
        away = () if readers is None else (readers.drain(IN_FLIGHT_S),)
        await asyncio.gather(_drain(server, IN_FLIGHT_S), *away)


async def _drain(server: Server, seconds: float) -> None:
    """Wait for the requests that are under way, so long at most."""
    for _ in range(int(seconds / LOOK_EVERY_S)):
        if not (isinstance(server, HttpServer) and server.busy):
            return
        await asyncio.sleep(LOOK_EVERY_S)


def readers_of(face: Face, hub: Hub, server: HttpServer) -> Readers | None:
    """The processes beside this one that answer on its port."""
    face.metrics.processes.readers = None
    if face.config.workers == 1:
        return None
    marks = hub.topics.marks
    readers = face.metrics.processes.readers = Readers(
        About(
            listener=face.sock,
            marks=marks,
            gate=CurrentGate(hub.limits, marks),
            server=server,
            tallies=face.metrics.tallies,
            hits=partial(hits.count, hub),
            lease_s=lambda: hub.store.current_seconds,
            log_level=lambda: face.config.log_level,
            begin=Begin(face.config.docs_host, face.config.log_format, keeping.BYTES_MAX),
        ),
        face.config.workers - 1,
    )
    return readers


class Stopped(Exception):
    """The node was told to stop before it had anything to serve."""


async def _wait_for_tables(face: Face, stop: asyncio.Event, node: Node) -> None:
    """Say that this node waits for others, until it is part of a cluster. Raises Stopped."""
    face.log.info("waiting for other nodes", node=face.config.node_name)
    public, operator = (Server(Waiting(node, insider=each)) for each in (False, True))
    formed = asyncio.ensure_future(_formed(node))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        async with _listening(face, public, operator):
            await asyncio.wait({formed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not formed.done():
            raise Stopped
    finally:
        for task in (formed, stopped):
            task.cancel()
        await asyncio.gather(formed, stopped, return_exceptions=True)


async def _hand_over(node: Node) -> None:
    """Let another member lead before this one goes: no write then waits for an election."""
    if node.status().role != "leader" or len(node.members()) == 1:
        return
    with suppress(ClusterError, TimeoutError):
        async with asyncio.timeout(HAND_OVER_S):
            await node.transfer()


async def _last_flush(hub: Hub) -> None:
    """Keep what was counted, unless nobody leads: when all nodes stop at once, the last cannot."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_FLUSH_S):
            await hub.counters.flush()


async def _caught_up(node: Node) -> None:
    """Come as far as the others before anything is answered; alone in a minority, go on as it is."""
    with suppress(ClusterError):
        await node.caught_up()


async def _formed(node: Node) -> None:
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


def _check_port(config: Config) -> None:
    for node in running.nodes(config.checkout):
        if node.port == config.port and node.host == config.host and node.pid != os.getpid():
            raise Refused(
                f"port {config.port} is taken by {node.name} (process {node.pid}): "
                "stop it, or set another PORT"
            )


def _schedule(config: Config) -> Schedule | None:
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


def _leads(hub: Hub) -> bool:
    return hub.node.status().role == "leader"


async def _note_backup(hub: Hub, outcome: backups.Outcome) -> None:
    """Let all nodes know what came of a backup; that it is made matters more."""
    with suppress(ClusterError):
        await hub.store.transact(backups.note, hub.node.settings.name, outcome)


async def _until_told_to_stop(face: Face, hub: Hub, stop: asyncio.Event) -> None:
    log = face.log
    loop = asyncio.get_running_loop()
    ends = [loop.create_task(event.wait()) for event in (stop, hub.reopen)]
    work = [
        loop.create_task(_read_ahead(hub)),
        loop.create_task(hub.counters.run()),
        loop.create_task(sealer.run(hub.node)),
        loop.create_task(Eraser(hub.store, hub.storage).run()),
        loop.create_task(expiry.run(hub.node, hub.now)),
        loop.create_task(hub.sender.run()),
        loop.create_task(_sweep(hub, log)),
    ]
    address = face.config.advisories_url
    if address is not None and not face.config.offline:
        feed = AdvisoryFeed(hub.node, address, hub.now)
        work.append(loop.create_task(feed.run()))
    if hub.node.clustered:
        exchange = LimitExchange(
            hub.node.streams, face.config.node_name, hub.node.members, hub.limits
        )
        work.append(loop.create_task(exchange.run()))
    if (schedule := hub.backups) is not None:
        face.metrics.node.backups = schedule
        leads = partial(_leads, hub)
        note = partial(_note_backup, hub)
        work.append(loop.create_task(schedule.run(hub.backup_source(), leads, note)))
    if hub.mirror is not None:
        work.append(loop.create_task(hub.mirror.run()))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in (*work, *ends):
        task.cancel()
    await asyncio.gather(*work, *ends, return_exceptions=True)


async def _read_ahead(hub: Hub) -> None:
    """Make the public lists and the catalogue before somebody asks, between other work."""
    await hub.own.warm()
    await hub.catalogue.ready(hub.now().date())


async def _sweep(hub: Hub, log: structlog.typing.FilteringBoundLogger) -> None:
    """Delete objects that nothing points to, once they are a day old."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await hub.store.barrier()  # a node that is cut off does not know what is pointed to
        except ClusterError:
            continue
        keep = await turns.pointed_to(hub.store)
        applied = hub.store.applied
        deleted = await hub.storage.sweep(keep, older_than_s=SWEEP_GRACE_S, applied=applied)
        if deleted:
            log.info("swept objects that nothing points to", deleted=deleted)


def _greet(config: Config, hub: Hub) -> None:
    """What a person needs next. The first-run link goes to a terminal and a file, never to a log."""
    path = config.data_dir / "first-run"
    with hub.store.view() as view:
        needs_administrator = not users.administrators(view)
    print(f"HexHub {__version__}, node {config.node_name}, on {hub.url}")
    if needs_administrator:
        link = f"{hub.url}/first-run?token={hub.first_run_token}"
        _write_private(path, link)
        where = link if sys.stdout.isatty() else f"the link in {path}"
        print(f"\nNo administrator yet. Make the first one within 24 hours: {where}\n")
        for line in client_lines(hub):
            print(f"  {line}")
        print()
    else:
        path.unlink(missing_ok=True)
    sys.stdout.flush()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
