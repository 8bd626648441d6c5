"""Rules: what the mirror holds back, and what they say of a release before anybody asks for it."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mirror_rules
from hexhub.errors import Invalid
from hexhub.http import judging
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Organization, Rule
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

KINDS = ("deny", "allow", "cooldown", "retired", "advisory")


@routes.get("/rules", allow=gate.LOOKS)
async def show(call: Call) -> StreamResponse:
    """The rules, and what they say of a release."""
    verdict = None
    name, version = str(call.query.get("name", "")), str(call.query.get("version", ""))
    if name and version:
        where = str(call.query.get("repository", PUBLIC))
        verdict = await judging.verdict(call.hub, where, name, version)
    return _rules(call, name=name, version=version, verdict=verdict)


def _rules(
    call: Call,
    *,
    status: int = 200,
    wrong: str = "",
    name: str = "",
    version: str = "",
    verdict: object = None,
) -> Response:
    with call.hub.store.view() as view:
        found = mirror_rules.everyone(view)
        repositories = [PUBLIC, *(row.name for row in view.scan(Organization))]
    return gate.page(
        "rules.html",
        status=status,
        repositories=repositories,
        repository=str(call.query.get("repository", PUBLIC)),
        found=found,
        kinds=KINDS,
        wrong=wrong,
        name=name,
        version=version,
        verdict=verdict,
        has_mirror=call.hub.mirror is not None,
    )


@routes.post("/rules/new", allow=gate.CHANGES)
async def add_rule(call: Call) -> StreamResponse:
    """Switch a rule on, on all nodes."""
    try:
        rule: Rule = mirror_rules.make(
            text(call, "kind"),
            text(call, "pattern") or "*",
            text(call, "requirement") or None,
            text(call, "value") or None,
            call.now,
            text(call, "repository") or PUBLIC,
        )
    except Invalid as error:
        return _rules(call, status=422, wrong=gate.words(error.errors))
    await call.hub.store.transact(mirror_rules.add, call.origin, rule)
    return pages.redirect("/admin/rules")


@routes.post("/rules/remove", allow=gate.CHANGES)
async def remove_rule(call: Call) -> StreamResponse:
    """Switch a rule off."""
    where = text(call, "repository") or PUBLIC
    await call.hub.store.transact(
        mirror_rules.remove, call.origin, text(call, "id"), call.now, where
    )
    return pages.redirect("/admin/rules")
