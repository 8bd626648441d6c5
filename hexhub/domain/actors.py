"""Whoever a request acts for."""

from __future__ import annotations

from dataclasses import dataclass

from hexhub.schema import Key, User


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, an organization (by its key), or nobody.

    `key` is the credential that was shown; a user without one came with a password.
    """

    user: User | None = None
    organization: str | None = None
    key: Key | None = None

    @property
    def anonymous(self) -> bool:
        return self.user is None and self.organization is None

    @property
    def name(self) -> str | None:
        return self.user.username if self.user else self.organization


NOBODY = Actor()
