"""The set-up page: lines to paste for each tool, with a key made on the spot for who is signed in."""

from __future__ import annotations

from datetime import timedelta

from aiohttp.web import StreamResponse

from hexhub.domain import keys
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.schema import PUBLIC
from hexhub.sites.web import pages, reading, setup_lines
from hexhub.sites.web.account import CONFIRMED, forms, signed_in

routes = Routes(forms)

SECRET = "KEY"
GOOD_FOR = timedelta(days=365)


@routes.get("/setup", allow=pages.READER)
async def show(call: Call) -> StreamResponse:
    """The lines, with KEY where a key belongs."""
    return _page(call, _repository(call), SECRET)


@routes.get("/setup/key", allow=CONFIRMED)
async def back(call: Call) -> StreamResponse:
    """Where one lands after giving the password: the form is to be sent again."""
    return pages.redirect("/setup")


@routes.post("/setup/key", allow=CONFIRMED)
async def with_key(call: Call) -> StreamResponse:
    """The same lines with a key made on the spot, which is shown this once."""
    hub, secret = call.hub, call.hub.new_secret()
    user, _ = signed_in(call)
    name = f"set-up {call.now:%Y-%m-%d %H:%M:%S}"
    await hub.store.transact(
        keys.create,
        call.origin,
        f"user:{user.username}",
        name,
        [{"domain": "repositories", "resource": None}],
        call.now + GOOD_FOR,
        hub.secret_hash(secret),
        call.now,
    )
    return _page(call, _repository(call), secret, made=name)


def _repository(call: Call) -> str:
    wanted = str(call.parameter("repository") or PUBLIC)
    with call.hub.store.view() as view:
        if wanted != PUBLIC and wanted not in reading.repositories(view, call):
            raise NotFound
    return wanted


def _page(call: Call, repository: str, secret: str, made: str | None = None) -> StreamResponse:
    hub = call.hub
    with hub.store.view() as view:
        repositories = reading.repositories(view, call)
    return pages.page(
        "setup.html",
        repository=repository,
        repositories=[each for each in repositories if each != PUBLIC],
        tools=setup_lines.tools(
            hub.url,
            hub.fingerprint,
            hub.public_key_pem.decode(),
            repository,
            secret,
            closed=is_closed(hub),
        ),
        closed=is_closed(hub),
        upstream=hub.mirror is not None,
        made=made,
        url=hub.url,
        fingerprint=hub.fingerprint,
        public=PUBLIC,
    )


def is_closed(hub: Hub) -> bool:
    """Whether the public packages of this hub, too, are fetched with a key."""
    return hub.anonymous_read != "true"
