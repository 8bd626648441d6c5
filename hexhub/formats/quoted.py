"""How a piece of hostile text is shown in an error: bounded, on one line, valid UTF-8."""

from __future__ import annotations

import json

SHOWN_MAX = 100


def quoted(text: str) -> str:
    """`text` in double quotes with controls escaped, cut after SHOWN_MAX characters."""
    shown = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
    return json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
