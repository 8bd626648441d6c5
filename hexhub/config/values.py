"""What a setting's text may be: each function turns text into a value or says what it must be.

Every parser takes the text as written and raises `ValueError` whose text completes "NAME: …".
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hexhub.errors import Malformed
from hexhub.formats.rate_limits import RateLimits, parse as parse_rate_limits

STARS = "********"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
# What else lives in `data/` of a checkout (design §9).
_TAKEN_NODE_NAMES = frozenset({"run", "secret"})


class Secret:
    """A text that must not be seen by accident: only `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __repr__(self) -> str:
        return STARS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the known word nearest to `word`, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def text(value: str) -> str:
    """Any text."""
    return value


def boolean(value: str) -> bool:
    """`true` or `false`, also as on/off, yes/no, 1/0, in any case."""
    word = value.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("must be true or false")


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def parse(value: str) -> int:
        # int() alone would take "1_000" and digits of other scripts.
        if not re.fullmatch(r"[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


port = number(1, 65535)


def choice(*words: str) -> Callable[[str], str]:
    """One of `words`, in any case."""

    def parse(value: str) -> str:
        word = value.lower()
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}{suggestion(word, words)}")
        return word

    return parse


def exactly(*words: str) -> Callable[[str], str]:
    """One of `words`, whose case matters to others; any case is taken."""
    by_lower = {word.lower(): word for word in words}

    def parse(value: str) -> str:
        if value.lower() not in by_lower:
            raise ValueError(f"must be one of {', '.join(words)}{suggestion(value, words)}")
        return by_lower[value.lower()]

    return parse


def path(value: str) -> Path:
    """A path; a relative one is taken from the checkout when it is loaded."""
    if value.startswith("~"):
        raise ValueError("must be a whole path: ~ is the shell's, and is not expanded here")
    return Path(value)


def secret(least: int) -> Callable[[str], Secret]:
    """A secret of at least `least` characters."""

    def parse(value: str) -> Secret:
        if len(value) < least:
            raise ValueError(f"must have at least {least} characters")
        return Secret(value)

    return parse


def address(value: str) -> str:
    """An IP address or a host name to bind or to dial, without a port."""
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:
        return host_name(value)


def host_name(value: str) -> str:
    """A host name or IPv4 address, lower-cased, without scheme, port or path."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name, without scheme, port or path")
    return value.lower()


def host_and_port(value: str) -> str:
    """`host` or `host:port`, lower-cased."""
    host, colon, digits = value.partition(":")
    return host_name(host) + (f":{port(digits)}" if colon else "")


def node_name(value: str) -> str:
    """A node's name: it also names a directory under `data/`."""
    if not _NODE_NAME.fullmatch(value):
        raise ValueError(
            "must be 1 to 63 letters, digits, `_`, `-` or `.`, and not begin with a sign"
        )
    if value in _TAKEN_NODE_NAMES:
        raise ValueError(f"must not be {value}: data/{value} is taken")
    return value


def _split_url(value: str) -> SplitResult:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError for a port that is none
    return parts


def http_url(value: str) -> str:
    """An http(s) URL without credentials, query or fragment; a trailing slash is dropped."""
    try:
        parts = _split_url(value)
    except ValueError as error:
        raise ValueError("must be a URL such as https://hub.example.com") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as https://hub.example.com")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password")
    if "?" in value or "#" in value or re.search(r"\s", value):
        raise ValueError("must be a URL without query, fragment or spaces")
    return value.rstrip("/")


def base_url(value: str) -> str:
    """The URL of the root of a host: `http_url` without a path."""
    url = http_url(value)
    if urlsplit(url).path:
        raise ValueError("must not have a path: HexHub answers at the root of its host")
    return url


def smtp_url(value: str) -> Secret:
    """`smtp://` or `smtps://` with optional credentials, which is why it is a secret."""
    try:
        parts = _split_url(value)
    except ValueError as error:
        raise ValueError("must be a URL such as smtp://user:password@mail:587") from error
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must be a URL such as smtp://user:password@mail:587")
    return Secret(value)


def url_scheme(value: str) -> str:
    """`http` or `https`; older deployments write `https://`."""
    return choice("http", "https")(value.removesuffix("://"))


def _items(value: str) -> list[str]:
    return [item for item in re.split(r"[,\s]+", value) if item]


def networks(value: str) -> tuple[Network, ...]:
    """Addresses or networks, separated by commas or spaces."""
    try:
        return tuple(ipaddress.ip_network(item) for item in _items(value))
    except ValueError as error:
        raise ValueError(f"must be a list of addresses or networks: {error}") from error


def rate_limits(value: str) -> RateLimits:
    """`true`, `false`, or requests a minute by kind of caller and group of routes."""
    try:
        return parse_rate_limits(value)
    except Malformed as error:
        raise ValueError(str(error)) from error


def members(value: str) -> tuple[str, ...]:
    """`name@host[:port]`, separated by commas or spaces; each name once."""
    found = _items(value)
    for item in found:
        name, at, host = item.partition("@")
        if not at:
            raise ValueError("must be a list of name@host or name@host:port")
        node_name(name)
        host_and_port(host)
    names = [item.partition("@")[0] for item in found]
    if len(set(names)) != len(names):
        raise ValueError("must name each node once")
    return tuple(found)
