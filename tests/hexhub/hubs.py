"""A hub for tests: everything of a node in this process, on a free loopback port.

Tests speak through it as people do: `mara = await hub.user("mara")`, `await mara.publish(...)`.
"""

from __future__ import annotations

import asyncio
import base64
import json as json_module
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import ClientResponse, ClientSession
from aiohttp.web import ServerRunner, SockSite
from argon2 import PasswordHasher

from cluster import Transaction
from hexhub import app, config, serving
from hexhub.domain import keys, organizations, users
from hexhub.domain.audit import OPERATOR
from hexhub.formats import erlang_external
from hexhub.http.listening import bind
from hexhub.http.metrics import Metrics
from hexhub.hub import Hub, utc_now
from hexhub.readers.keeping import Readers
from hexhub.reloading import Reloading
from hexhub.schema import Member, User

SIGNING_KEY = Path(__file__).parents[1] / "golden/registry/private_key.pem"
FACES = ("hot", "cold", "readers")
SETTLE_S = 20.0
ERLANG = "application/vnd.hex+erlang"
JSON = "application/json"
AGENT = "hex_core/0.19.0 hex/2.5.0 (elixir/1.18.0) (OTP/27) (erts/15.0)"


@dataclass(frozen=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The decoded body, by its content type; None when there is none."""
        if not self.body:
            return None
        if self.headers.get("Content-Type", "").startswith(ERLANG):
            return erlang_external.decode(self.body)

        return json_module.loads(self.body)

    @property
    def errors(self) -> Any:
        """The map of validation errors."""
        return self.value["errors"]


class Clock:
    """Time that a test moves. `moved` is called then: other processes have clocks of their own."""

    def __init__(self) -> None:
        self.moved: Callable[[], None] = lambda: None
        self._ahead = timedelta()

    @property
    def ahead(self) -> timedelta:
        return self._ahead

    @ahead.setter
    def ahead(self, ahead: timedelta) -> None:
        self._ahead = ahead
        self.moved()

    def __call__(self) -> datetime:
        return utc_now() + self._ahead


class Person:
    """Someone who calls the hub; `authorization` is the header's value, None for nobody."""

    def __init__(self, hub: TestHub, name: str | None, authorization: str | None) -> None:
        self.hub = hub
        self.name = name
        self.authorization = authorization

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        erlang: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask as this person. `json` or `erlang` is a body in that format, `data` a raw one."""
        sent = {"User-Agent": AGENT}
        if self.authorization is not None:
            sent["Authorization"] = self.authorization
        if erlang is not None:
            data, sent["Content-Type"], sent["Accept"] = (
                erlang_external.encode(erlang),
                ERLANG,
                ERLANG,
            )
        elif json is not None:
            data, sent["Content-Type"] = json_module.dumps(json).encode(), JSON
        elif data is not None:
            sent["Content-Type"] = "application/octet-stream"
        sent |= headers or {}
        async with self.hub.session.request(
            method,
            self.hub.url + path,
            data=BytesIO(data) if data is not None else None,
            headers=sent,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        ) as response:
            return await _read(response)

    async def head(self, path: str, **headers: str) -> Answer:
        """A HEAD; headers as for `get`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("HEAD", path, headers=named)

    async def get(self, path: str, **headers: str) -> Answer:
        """A GET; headers as keywords with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("GET", path, headers=named)

    async def post(self, path: str, json: object = None, **more: Any) -> Answer:
        return await self.request("POST", path, json=json, **more)

    async def put(self, path: str, json: object = None, **more: Any) -> Answer:
        return await self.request("PUT", path, json=json, **more)

    async def delete(self, path: str, **more: Any) -> Answer:
        return await self.request("DELETE", path, **more)

    async def publish(
        self, tarball: bytes, *, repository: str | None = None, replace: bool | None = None
    ) -> Answer:
        """Publish by the route that finds the name in the tarball."""
        prefix = f"/repos/{repository}" if repository else ""
        query = "" if replace is None else f"?replace={str(replace).lower()}"
        return await self.post(f"/api{prefix}/publish{query}", data=tarball)


async def _read(response: ClientResponse) -> Answer:
    return Answer(response.status, response.headers.copy(), await response.read())


class TestHub:
    """A running hub."""

    __test__ = False
    minute = timedelta(minutes=1)

    def __init__(
        self,
        hub: Hub,
        session: ClientSession,
        url: str,
        clock: Clock,
        faults: list[str],
        folder: Path,
        readers: Readers | None = None,
    ) -> None:
        self.hub = hub
        self.readers = readers
        """The processes that answer for it, if there are any."""
        self.folder = folder
        """Where `data/` is."""
        self.session = session
        self.url = url
        self.clock = clock
        self.faults = faults
        """Tracebacks of errors that the hub answered with 500, or broke off for."""
        self.nobody = Person(self, None, None)

    async def counted(self) -> None:
        """Have what readers have counted known here."""
        if self.readers is not None:
            await self.readers.collect()

    async def settled(self, holds: Callable[[], bool]) -> None:
        """Wait, within reason, until something that goes on behind a request has happened."""
        async with asyncio.timeout(SETTLE_S):
            while not holds():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)

    async def user(
        self,
        name: str,
        *,
        password: str | None = None,
        admin: bool = False,
        verified: bool = True,
        permissions: tuple[str, ...] = ("api", "repositories"),
        address: str | None = None,
        public: bool = True,
    ) -> Person:
        """A new user with a key of these permissions (`DOMAIN[:RESOURCE]`).

        The address, NAME@example.org unless another is given, is shown to all if `public`.
        """
        hashed = await self.hub.passwords.hash(password) if password else None
        await self.hub.store.transact(
            users.create,
            OPERATOR,
            name,
            address or f"{name}@example.org",
            hashed,
            self.hub.now(),
            verified=verified,
            admin=admin,
        )
        if not public:
            await self.hub.store.transact(_hide_address, name)
        return await self.key(name, *permissions)

    async def key(
        self,
        name: str,
        *permissions: str,
        organization: bool = False,
        revoke_at: datetime | None = None,
    ) -> Person:
        """A user (or organization) acting by a new key with these permissions."""
        secret = self.hub.new_secret()
        wanted = [
            dict(zip(("domain", "resource"), _split(text), strict=True)) for text in permissions
        ]
        await self.hub.store.transact(
            keys.create,
            OPERATOR,
            f"{'org' if organization else 'user'}:{name}",
            "test",
            wanted,
            revoke_at,
            self.hub.secret_hash(secret),
            self.hub.now(),
        )
        return Person(self, name, secret)

    def traces(self) -> list[str]:
        """What lies on disk beside the tables: objects, and bodies on their way in."""
        data = self.folder / "data"
        found = [path for part in ("storage", "spool") for path in (data / part).rglob("*")]
        return sorted(str(path.relative_to(data)) for path in found if path.is_file())

    async def disable(self, name: str) -> None:
        """Switch an account off, as the operator does."""
        await self.hub.store.transact(users.disable, OPERATOR, name, self.hub.now())

    def basic(self, name: str, password: str) -> Person:
        """Someone who signs each request with a password."""
        encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
        return Person(self, name, f"Basic {encoded}")

    async def organization(self, name: str, admin: Person, **roles: str) -> None:
        """A new organization; further members by `name=role`."""
        assert admin.name is not None
        await self.hub.store.transact(
            organizations.create, OPERATOR, name, admin.name, self.hub.now()
        )
        for username, role in roles.items():
            await self.hub.store.transact(
                lambda tx, member: tx.put(member),
                Member(organization=name, username=username, role=role),
            )


def _hide_address(tx: Transaction, name: str) -> None:
    user = tx.get(User, name)
    assert user is not None
    emails = tuple(msgspec.structs.replace(email, public=False) for email in user.emails)
    tx.put(msgspec.structs.replace(user, emails=emails))


def _split(text: str) -> tuple[str, str | None]:
    domain, _, resource = text.partition(":")
    return domain, resource or None


@asynccontextmanager
async def running(folder: Path, *, face: str = "hot", **settings: str) -> AsyncIterator[TestHub]:
    """A hub on a free port with these settings (names of design §10, in lower case).

    `face`: `hot`; `cold`, without the hot path; or `readers`, where a process of its own answers
    what the hot path may, and this one accepts no connections.
    """
    environ = {
        "DATA_DIR": str(folder / "data"),
        "DEPENDENCY_CHECK": "own",
        "UPSTREAM_ENABLED": "false",
        "SIGNING_KEY_FILE": str(SIGNING_KEY),  # making one takes longer than the rest of a start
        "HEXHUB_LOG_LEVEL": "warning",
        "WORKERS": "2" if face == "readers" else "1",
    } | {name.upper(): value for name, value in settings.items()}
    loaded = config.load(environ, checkout=folder)
    clock, metrics = Clock(), Metrics()
    faults: list[str] = []
    log = quiet_log(faults)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(app.open_hub(loaded, now=clock))
        clock.moved = hub.topics.forget_all
        # As slow as a guesser deserves, passwords would be most of the time of a test run.
        hub.passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        server = app.public_face(loaded, hub, metrics, log, hot=face != "cold")
        runner = ServerRunner(server)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        sock = stack.enter_context(bind("127.0.0.1", 0))
        listening = serving.Face(Reloading(loaded), sock, metrics, log)
        readers = serving.readers_of(listening, hub, server)
        if readers is None:
            await SockSite(runner, sock.dup()).start()
        else:
            sock.listen()
            await readers.start()
            stack.push_async_callback(readers.drain, SETTLE_S)
        session = await stack.enter_async_context(ClientSession(auto_decompress=False))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield TestHub(hub, session, url, clock, faults, folder, readers)


def quiet_log(faults: list[str]) -> Any:
    """A logger that prints nothing, and keeps the errors that nobody foresaw."""
    return structlog.wrap_logger(structlog.PrintLogger(), processors=[_noting(faults)])


def _noting(faults: list[str]) -> Any:
    """A processor that prints nothing, and keeps the errors that nobody foresaw."""

    def note(logger: Any, method: str, event: dict[str, Any]) -> Any:
        if method == "exception" or event.get("exc_info"):
            faults.append("".join(traceback.format_exception(*sys.exc_info())))
        raise structlog.DropEvent

    return note
