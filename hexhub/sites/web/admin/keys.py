"""Every API key, of people and organizations: what it may do, when it was used, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp.web import StreamResponse

from hexhub import turns
from hexhub.domain import keys
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Key, KeyUse
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

SHOWS = (
    ("", "All"),
    ("user", "Of people"),
    ("org", "Of organizations"),
    ("unused", "Unused for 90 days"),
    ("lasting", "Without an end"),
)
UNUSED = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Row:
    """A live key and its last use."""

    key: Key
    use: KeyUse | None

    @property
    def kind(self) -> str:
        return self.key.owner.partition(":")[0]

    @property
    def owner(self) -> str:
        return self.key.owner.partition(":")[2]

    @property
    def scopes(self) -> list[str]:
        """Permissions as `DOMAIN` or `DOMAIN:RESOURCE`."""
        return [
            f"{each.domain}:{each.resource}" if each.resource else each.domain
            for each in self.key.permissions
        ]


@routes.get("/keys", allow=gate.LOOKS)
async def list_keys(call: Call) -> StreamResponse:
    """Live keys that match, by owner."""
    wanted, show = gate.wanted(call), str(call.query.get("show", ""))
    show = show if show in dict(SHOWS) else ""
    store, now = call.hub.store, call.now
    found = []
    async for some in turns.rows(store, Key, pause_s=0):
        with store.view() as view:
            rows = [Row(key, view.get(KeyUse, key.lookup)) for key in some if not key.revoked(now)]
        found += [row for row in rows if _matches(row, wanted, show, now)]
    found.sort(key=lambda row: (row.key.owner, row.key.name))
    part, pager = gate.paged(call, found)
    return gate.page("keys.html", found=part, pager_of=pager, wanted=wanted, show=show, shows=SHOWS)


def _matches(row: Row, wanted: str, show: str, now: datetime) -> bool:
    if show in ("user", "org") and row.kind != show:
        return False
    if show == "unused" and max(row.key.created_at, _used_at(row)) > now - UNUSED:
        return False
    if show == "lasting" and row.key.revoke_at is not None:
        return False
    words = (row.owner, row.key.name, *row.scopes)
    return any(wanted in word.lower() for word in words)


def _used_at(row: Row) -> datetime:
    return row.use.used_at if row.use else row.key.created_at


@routes.post("/keys/revoke", allow=gate.CHANGES)
async def revoke(call: Call) -> StreamResponse:
    """End a key, on all nodes at once, and tell its owner."""
    try:
        await call.hub.store.revoke(
            keys.revoke, call.origin, text(call, "owner"), text(call, "name"), call.now
        )
    except NotFound:
        raise NotFound("That key has ended already.") from None
    return pages.redirect(pages_after(call))


def pages_after(call: Call) -> str:
    """The list as it was looked at."""
    back = call.body.get("back")
    return back if isinstance(back, str) and back.startswith("/admin/keys?") else "/admin/keys"
