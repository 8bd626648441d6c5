"""Whether a node holds anything that a person made: one that does not may give its tables up."""

from __future__ import annotations

from cluster import Record, View
from hexhub.schema import Key, Organization, Package, User

MADE_BY_PEOPLE: tuple[type[Record], ...] = (User, Key, Organization, Package)


def is_blank(view: View) -> bool:
    """Whether there is no user, key, organization or package."""
    return not any(next(view.scan(kind), None) for kind in MADE_BY_PEOPLE)
