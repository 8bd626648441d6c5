"""Pages of collections: query parameters only, no totals (http-api.md §1.11)."""

from __future__ import annotations

from hexhub.http.call import Call

PER_PAGE = 100
DIGITS_MAX = 12


def page(call: Call) -> int:
    """A clean positive number, else the first page; one past any end for a giant number."""
    return max(1, _number(call.parameter("page"), 1))


def per_page(call: Call) -> int:
    """At most 100, which is also what anything but a clean number means."""
    return min(PER_PAGE, _number(call.parameter("per_page"), PER_PAGE))


def _number(value: object, default: int) -> int:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text[:DIGITS_MAX]) if text.isascii() and text.isdigit() else default
