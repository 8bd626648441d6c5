"""Runs a node: its sockets, its readers, its signals, and how it comes and goes."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp.web import Server, ServerRunner, SockSite, UnixSite

from cluster import ClusterError, Node
from hexhub import (
    __version__,
    chores,
    control_socket,
    running,
)
from hexhub.app import end, open_hub, public_face, until_formed
from hexhub.config import Config, check_listening
from hexhub.errors import Refused
from hexhub.greeting import greet
from hexhub.http import hits
from hexhub.http.dispatch import Dispatcher
from hexhub.http.gate import CurrentGate
from hexhub.http.listening import BACKLOG, SharedSite, bind
from hexhub.http.metrics import Metrics
from hexhub.http.routes import Router
from hexhub.http.server import HttpServer
from hexhub.http.tls import Certificates
from hexhub.http.waiting import Waiting
from hexhub.hub import Hub
from hexhub.meeting import advertised
from hexhub.readers import keeping
from hexhub.readers.keeping import Readers
from hexhub.readers.lending import About
from hexhub.readers.messages import Begin
from hexhub.reloading import Reloading
from hexhub.sites import operator as operator_face

DRAIN_S = 30.0
"""What a stop takes at most, with all of its parts; supervisors are told to grant a little more."""
IN_FLIGHT_S = 20.0
COMMANDS_S = 3.0
CUT_OFF_S = 1.0
"""Twice: for a handler that is told that its client is gone, and for its end."""
HAND_OVER_S = 3.0
GOODBYE_S = 0.5
LOOK_EVERY_S = 0.1
LOOKS_MAX = 10


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
            stack.push_async_callback(end, asyncio.create_task(certificates.run()))
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
        greet(config, hub)
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
    formed = asyncio.ensure_future(until_formed(node))
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


async def _drain(server: Server, seconds: float) -> None:
    """Wait for the requests that are under way, so long at most."""
    for _ in range(int(seconds / LOOK_EVERY_S)):
        if not (isinstance(server, HttpServer) and server.busy):
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _check_port(config: Config) -> None:
    for node in running.nodes(config.checkout):
        if node.port == config.port and node.host == config.host and node.pid != os.getpid():
            raise Refused(
                f"port {config.port} is taken by {node.name} (process {node.pid}): "
                "stop it, or set another PORT"
            )


async def _until_told_to_stop(face: Face, hub: Hub, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    ends = [loop.create_task(event.wait()) for event in (stop, hub.reopen)]
    work = [loop.create_task(each) for each in chores.all_of(hub, face.config, face.log)]
    face.metrics.node.backups = hub.backups
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in (*work, *ends):
        task.cancel()
    await asyncio.gather(*work, *ends, return_exceptions=True)
