"""What a CVSS vector comes to; the only file that knows the library for it."""

from __future__ import annotations

from cvss import CVSS3, CVSS4
from cvss.exceptions import CVSSError

VECTOR_LENGTH_MAX = 500
RATINGS = ("none", "low", "medium", "high", "critical")


def score(vector: str) -> float | None:
    """The base score of a vector of CVSS 3 or 4, from 0 to 10; None for anything else."""
    if len(vector) > VECTOR_LENGTH_MAX:
        return None
    kind = CVSS4 if vector.startswith("CVSS:4.0/") else CVSS3
    try:
        return float(kind(vector).base_score)
    except (CVSSError, ValueError, KeyError, ArithmeticError):
        return None


def rating(value: float) -> str:
    """The word for a score, as the CVSS specification has it."""
    if value <= 0:
        return "none"
    return "low" if value < 4 else "medium" if value < 7 else "high" if value < 9 else "critical"
