"""Short addresses for long ones, as `mix hex.outdated` asks for them (http-api.md §3.12)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from cluster import Transaction, View
from hexhub.domain import rules
from hexhub.errors import Invalid, NotFound
from hexhub.schema import ShortUrl

ALPHABET = "".join(
    char
    for char in "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    if char not in "IOl"
)
CODE_LENGTH = 5
URL_LENGTH_MAX = 8_000
FAMILIES = (".hex.pm", ".hexdocs.pm", ".hexorgs.pm")
ROOTS = ("hexdocs.pm", "staging.hex.pm")


def shorten(
    tx: Transaction, url: object, codes: Sequence[str], own: Sequence[str], now: datetime
) -> ShortUrl:
    """The short form of an address; the same for the same one.

    `codes` are fresh ones to choose from, `own` the hosts of this hub, a port included. Raises
    Invalid (field `url`).
    """
    rules.check({"url": _problem(url, own)})
    digest = hashlib.sha256(str(url).encode()).hexdigest()
    known = next(tx.find(ShortUrl, "digest", digest), None)
    if known is not None:
        return known
    code = next((code for code in codes if tx.get(ShortUrl, code) is None), None)
    if code is None:
        raise Invalid({"url": "no code is free, try again"})
    row = ShortUrl(code=code, url=str(url), digest=digest, created_at=now)
    tx.put(row)
    return row


def find(view: View, code: str) -> ShortUrl:
    """The address behind a code. Raises NotFound."""
    row = view.get(ShortUrl, code)
    if row is None:
        raise NotFound
    return row


def _problem(url: object, own: Sequence[str]) -> str | None:
    if problem := rules.text(url):
        return problem
    text = str(url)
    if len(text) > URL_LENGTH_MAX:
        return f"should be at most {URL_LENGTH_MAX} character(s)"
    if any(ord(char) <= 32 or ord(char) == 127 for char in text) or "\\" in text:
        return "is invalid"
    try:
        text.encode("ascii")
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is invalid"
    if parts.scheme not in ("http", "https"):
        return "must use http or https scheme"
    if not host:
        return "must include a host"
    if parts.username is not None or parts.password is not None:
        return "is invalid"
    if parts.netloc.lower() in own:
        return None
    hex_host = host == "hex.pm" or (host.endswith(FAMILIES) and host not in ROOTS)
    root = host in ROOTS and parts.path in ("", "/") and not parts.query and not parts.fragment
    if port is None and (hex_host or root):
        return None
    return "domain must match hex.pm, *.hex.pm, *.hexdocs.pm, *.hexorgs.pm or this hub"
