"""What changed between two texts, as hunks of lines."""

from __future__ import annotations

import difflib

CONTEXT = 3
LINES_MAX = 20_000


def hunks(old: str, new: str) -> list[dict[str, object]]:
    """Hunks with a `head` and `lines` of (sign, old number, new number, text); 0 for no number.

    Raises ValueError for more lines than are worth showing.
    """
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > LINES_MAX:
        raise ValueError("too many lines")
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=True)
    found: list[dict[str, object]] = []
    for group in matcher.get_grouped_opcodes(CONTEXT):
        lines: list[tuple[str, int, int, str]] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                pairs = zip(range(i1, i2), range(j1, j2), strict=True)
                lines += [(" ", i + 1, j + 1, before[i]) for i, j in pairs]
                continue
            lines += [("-", i + 1, 0, before[i]) for i in range(i1, i2)]
            lines += [("+", 0, j + 1, after[j]) for j in range(j1, j2)]
        first, last = group[0], group[-1]
        head = f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"
        found.append({"head": head, "lines": lines})
    return found
