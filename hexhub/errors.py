"""What can go wrong, in the words of the domain. `http/responses.py` turns each into a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Errors: TypeAlias = "Mapping[str, str | Errors]"


class HubError(Exception):
    """Base of every error that this application raises on purpose."""


class Malformed(HubError):
    """Bytes that are not what they claim to be; the text says where and why."""


class BadRequest(HubError):
    """A request that cannot be understood (400)."""


class Unauthenticated(HubError):
    """Credentials are missing, wrong or insufficient (401).

    `challenge` is the value of `www-authenticate` (http-api.md §2.10).
    """

    def __init__(self, message: str, challenge: str = "Basic realm=hex") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(HubError):
    """The actor is known and may not do this (403)."""


class NotFound(HubError):
    """Nothing here, or nothing that this actor may know of (404)."""

    def __init__(self, message: str = "Page not found") -> None:
        super().__init__(message)


class Unacceptable(HubError):
    """No format that the client accepts (406)."""


class TimedOut(HubError):
    """The client sent nothing for too long (408)."""


class LengthRequired(HubError):
    """A body that must announce its length did not (411)."""


class Clash(HubError):
    """What is asked does not go with what is here (409)."""


class TooLarge(HubError):
    """A body above its limit (413)."""


class Invalid(HubError):
    """Values that break a rule (422): a map from field to text or to a nested map."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(str(errors))
        self.errors = errors


class InvalidAsText(Invalid):
    """The same where hexpm's `errors` is a bare text: only about organizations (http-api.md §3.5)."""

    def __init__(self, text: str) -> None:
        super().__init__({"organization": text})
        self.text = text


class TooManyRequests(HubError):
    """More than the limit allows (429)."""


class OauthRefused(HubError):
    """An OAuth request that is answered with an error code (http-api.md §3.13)."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class Unavailable(HubError):
    """Cannot be done now, may be tried again (503)."""

    def __init__(self, message: str, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(Unavailable):
    """The upstream does not answer, or must not be asked now (503)."""


class UpstreamWrong(HubError):
    """The upstream answered what must not be kept nor passed on (502)."""


class RefusedByRule(Forbidden):
    """A release that a rule of the mirror holds back (403); the text names the rule."""


class StorageFull(Unavailable):
    """No room for a blob (503)."""


class Refused(HubError):
    """A start-up that must not go on: the text tells the operator what to do."""
