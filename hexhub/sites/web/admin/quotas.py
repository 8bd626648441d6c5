"""How much a repository may hold, set beside the list of repositories."""

from __future__ import annotations

from contextlib import suppress

from aiohttp.web import StreamResponse

from hexhub.domain import quotas
from hexhub.errors import Invalid, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

MEBIBYTE = 1 << 20
DIGITS_MAX = 9

routes = Routes(gate.administration)


@routes.post("/repositories/quota", allow=gate.CHANGES)
async def put(call: Call) -> StreamResponse:
    """Bound a repository; with both fields empty it has no bound any more."""
    repository = text(call, "repository")
    size, packages = _number(call, "mebibytes"), _number(call, "packages")
    store = call.hub.store
    if size is None and packages is None:
        with suppress(NotFound):
            await store.transact(quotas.remove, call.origin, repository, call.now)
    else:
        most = None if size is None else size * MEBIBYTE
        await store.transact(quotas.put, call.origin, repository, most, packages, call.now)
    return pages.redirect("/admin/repositories")


def _number(call: Call, field: str) -> int | None:
    """What was typed; None for nothing. Raises Invalid."""
    typed = text(call, field).strip()
    if not typed:
        return None
    if not typed.isascii() or not typed.isdigit() or len(typed) > DIGITS_MAX:
        raise Invalid({field: "must be a whole number"})
    return int(typed)
