"""What everybody may know of a person: the packages they own, as far as the reader sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.web import StreamResponse

from hexhub.domain import packages, users
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Owner, User
from hexhub.sites.web import pages, reading

if TYPE_CHECKING:
    from cluster import View

contested = Routes(pages.web)


@contested.get("/users/{name}", allow=pages.READER)
async def show(call: Call) -> StreamResponse:
    """A person's page."""
    name = call.path["name"]
    with call.hub.store.view() as view:
        user = view.get(User, name.lower())
        if user is None or user.disabled:
            raise NotFound
        visible = reading.repositories(view, call)
        owned: list[Owner] = [
            owner for owner in users.owned(view, user.username) if owner.repository in visible
        ]
        latest = {(owner.repository, owner.package): _summary(view, call, owner) for owner in owned}
    owned.sort(key=lambda owner: (owner.package, owner.repository))
    return pages.page(
        "person.html",
        person=user,
        owned=[(owner, latest[owner.repository, owner.package]) for owner in owned],
        public=PUBLIC,
    )


def _summary(view: View, call: Call, owner: Owner) -> tuple[str, str]:
    """Description and newest version of a package."""
    package = packages.find(view, call.actor, owner.repository, owner.package)
    newest = packages.latest(packages.releases(view, package))
    return package.meta.description or "", newest.version if newest else ""
