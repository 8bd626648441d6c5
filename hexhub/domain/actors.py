"""Whoever a request acts for."""

from __future__ import annotations

from dataclasses import dataclass

from hexhub.schema import Key, Token, User


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, an organization (by its key), or nobody.

    `key` or `token` is the credential that was shown; a user with neither came with a password.
    """

    user: User | None = None
    organization: str | None = None
    key: Key | None = None
    token: Token | None = None

    @property
    def credential(self) -> Key | Token | None:
        """What was shown, and grants only what it carries; None for a password, which grants all."""
        return self.key or self.token

    @property
    def anonymous(self) -> bool:
        return self.user is None and self.organization is None

    @property
    def name(self) -> str | None:
        return self.user.username if self.user else self.organization


NOBODY = Actor()
