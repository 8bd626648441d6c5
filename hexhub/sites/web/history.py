"""The audit log on pages: of a package, an organization or a person, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hexhub.domain import audit
from hexhub.http.call import Call
from hexhub.schema import AuditRecord
from hexhub.sites.web import pages

PAGE_MAX = 1_000


@dataclass(frozen=True, slots=True)
class History:
    """Some records, newest first, of the page `page`; `older`: whether there are further ones."""

    rows: list[AuditRecord]
    page: int
    older: bool


def read(call: Call, find: Callable[[int], list[AuditRecord]]) -> History:
    """The page that was asked for of what `find` gives by page."""
    page = min(pages.number(call), PAGE_MAX)
    rows = find(page)
    older = len(rows) == audit.PER_PAGE and page < PAGE_MAX and bool(find(page + 1))
    return History(rows, page, older)
