"""What the operator does with the rules of repositories: set, list, explain, try."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp.web import StreamResponse

from hexhub.domain import mirror_rules
from hexhub.domain.audit import OPERATOR as BY_OPERATOR
from hexhub.errors import Invalid
from hexhub.http import judging
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Rule
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _told(rule: Rule) -> dict[str, object]:
    return {
        "repository": rule.repository,
        "id": rule.id,
        "kind": rule.kind,
        "pattern": rule.pattern,
        "requirement": rule.requirement,
        "value": rule.value,
        "created_at": rule.created_at,
    }


def _repository(values: Mapping[str, object]) -> str:
    return str(values.get("repository") or PUBLIC)


def _made(call: Call, values: Mapping[str, object]) -> Rule:
    return mirror_rules.make(
        str(values.get("kind")),
        values.get("pattern", "*"),
        values.get("requirement"),
        values.get("value"),
        call.now,
        _repository(values),
    )


@routes.get("/rules", allow=OPERATOR)
async def list_rules(call: Call) -> StreamResponse:
    """Every rule of every repository."""
    with call.hub.store.view() as view:
        return answer([_told(rule) for rule in mirror_rules.everyone(view)])


@routes.post("/rules", allow=OPERATOR)
async def add(call: Call) -> StreamResponse:
    """Switch a rule on."""
    rule = await call.hub.store.transact(mirror_rules.add, BY_OPERATOR, _made(call, call.body))
    return answer(_told(rule), 201)


@routes.post("/rules/remove", allow=OPERATOR)
async def remove(call: Call) -> StreamResponse:
    """Switch a rule off."""
    id, where = str(call.body.get("id")), _repository(call.body)
    await call.hub.store.transact(mirror_rules.remove, BY_OPERATOR, id, call.now, where)
    return answer({"id": id, "repository": where})


@routes.post("/rules/judge", allow=OPERATOR)
async def judge(call: Call) -> StreamResponse:
    """What the rules, and `extra` ones that are not switched on, say of a release."""
    body = call.body
    name, version, extra = body.get("name"), body.get("version"), body.get("extra", [])
    if not isinstance(name, str) or not isinstance(version, str) or not isinstance(extra, list):
        raise Invalid({"name": "say which release: a name and a version"})
    repository = _repository(body)
    more = [_made(call, each) for each in extra if isinstance(each, dict)]
    verdict = await judging.verdict(call.hub, repository, name, version, more)
    return answer(
        {
            "repository": repository,
            "name": name,
            "version": version,
            "refused": verdict.refused,
            "rule": verdict.rule.id if verdict.rule else None,
            "why": verdict.why,
            "until": verdict.until,
        }
    )
