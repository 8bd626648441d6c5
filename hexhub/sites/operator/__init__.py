"""The operator's commands over the socket in the data directory: a subject a file."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.routes import Route
from hexhub.sites.operator import (
    accounts,
    advisories,
    audit,
    backup,
    cluster,
    identity,
    importing,
    members,
    mirror,
    names,
    networks,
    notices,
    policies,
    quotas,
    removals,
    rules,
    settings,
    storage,
    tables,
)


def routes() -> Iterator[Route]:
    """Every route of the operator's face."""
    for subject in (
        accounts,
        advisories,
        audit,
        backup,
        cluster,
        identity,
        importing,
        members,
        mirror,
        names,
        networks,
        notices,
        policies,
        quotas,
        removals,
        rules,
        settings,
        storage,
        tables,
    ):
        yield from subject.routes.under("")
