"""How pages speak of times, sizes and numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup

STEPS = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (86_400, 3600, "hour"),
    (30 * 86_400, 86_400, "day"),
    (365 * 86_400, 30 * 86_400, "month"),
)


def ago(then: datetime, now: datetime) -> str:
    """`just now`, `5 minutes ago`, `3 years ago`."""
    seconds = max(0, int((now - then).total_seconds()))
    if seconds < 10:
        return "just now"
    for below, unit, name in STEPS:
        if seconds < below:
            return f"{counted(seconds // unit, name)} ago"
    return f"{counted(seconds // (365 * 86_400), 'year')} ago"


def when(then: datetime, now: datetime) -> Markup:
    """A relative time with the exact one beside it, for people and machines."""
    exact = then.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.strftime("%Y-%m-%dT%H:%M:%SZ"), exact.strftime("%-d %B %Y, %H:%M UTC"), ago(then, now)
    )


def moment(text: str, now: datetime) -> Markup:
    """A moment that is kept as text, as `when` shows it."""
    return when(datetime.fromisoformat(text), now)


def about(record: object) -> str:
    """What a record of the audit log is about: the names in its params."""
    found: list[str] = []
    for name, value in getattr(record, "params", {}).items():
        if isinstance(value, dict):
            value = value.get("name") or value.get("username") or value.get("version")
        if (
            isinstance(value, str)
            and name not in ("id", "repository", "type", "user_agent")
            and value
        ):
            found.append(value[:80])
    return ", ".join(dict.fromkeys(found[:4]))


def date(then: datetime) -> Markup:
    """A day, such as `3 May 2026`."""
    exact = then.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.strftime("%Y-%m-%dT%H:%M:%SZ"),
        exact.strftime("%-d %B %Y, %H:%M UTC"),
        exact.strftime("%-d %B %Y"),
    )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 release`, `12,000 releases`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(octets: int) -> str:
    """A size in kB, MB, GB or TB of a thousand."""
    if octets < 1000:
        return counted(octets, "byte")
    value, unit = octets / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def short(number: int) -> str:
    """`950`, `12.3k`, `4.1M`."""
    if number < 1000:
        return str(number)
    for below, unit, name in ((1_000_000, 1000, "k"), (1_000_000_000, 1_000_000, "M")):
        if number < below:
            return f"{number / unit:.1f}".removesuffix(".0") + name
    return f"{number / 1_000_000_000:.1f}".removesuffix(".0") + "G"


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="@:+!$&'()*,;=-._~")


def path(text: str) -> str:
    """A relative path with its slashes kept."""
    return quote(text, safe="/@:+!$&'()*,;=-._~")


def unbroken(text: object) -> Markup:
    """Text of a command: a line ends between two words, and not after a hyphen inside of one."""
    parts = re.split(r"(\s+)", str(text))
    whole = Markup('<span class="whole">{}</span>')
    return Markup("").join(whole.format(part) if "-" in part else part for part in parts)


BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrom", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def device(user_agent: str) -> str:
    """`Firefox on Windows`; what is no browser as it calls itself."""
    if not user_agent.startswith("Mozilla/"):
        return user_agent[:60]
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "Browser")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


FILTERS = {
    "unbroken": unbroken,
    "device": device,
    "ago": ago,
    "when": when,
    "date": date,
    "moment": moment,
    "about": about,
    "counted": counted,
    "size": size,
    "short": short,
    "segment": segment,
    "pathquote": path,
}
