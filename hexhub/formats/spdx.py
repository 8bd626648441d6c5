"""SPDX license ids: which texts name a license (http-api.md §3.7, tarball.md §8)."""

from __future__ import annotations

import re
from functools import cache

# SPDX once listed these pairs of a license and an exception as licenses of their own. They are deprecated,
# still valid, and our source counts them among the exceptions.
_OLD_PAIR = re.compile(r"GPL-[23]\.0-with-[A-Za-z]+-exception|eCos-2\.0")
_OLD_PAIRS = frozenset({"GPL-2.0-with-bison-exception"})  # the one that our source lacks
_NICKNAMES = frozenset({"BSD-2", "GPL", "GPL 2.0", "GPL 2.0+"})  # in our source, never SPDX ids
_CUSTOM = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,200}")


def is_license(text: str) -> bool:
    """Whether `text` is an SPDX license id, current or deprecated, or a `LicenseRef-…`; case counts."""
    return _CUSTOM.fullmatch(text) is not None or text in _ids()


@cache
def _ids() -> frozenset[str]:
    # Read at the first question: the list comes as a file of the library.
    from license_expression import get_license_index

    ids = frozenset(
        key
        for entry in get_license_index()
        for key in (entry.get("spdx_license_key"), *entry.get("other_spdx_license_keys", ()))
        if key and not key.startswith("LicenseRef-")
        if not entry.get("is_exception") or _OLD_PAIR.fullmatch(key)
    )
    return (ids | _OLD_PAIRS) - _NICKNAMES
