"""Advisories in the OSV format (Open Source Vulnerability schema 1.x), read with bounds."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from hexhub.errors import Malformed
from hexhub.formats import cvss_score
from hexhub.formats.version import Version

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
PURL = re.compile(r"pkg:hex/(?:([a-z0-9_]+)/)?([a-z][a-z0-9_]*)(?:[@?#].*)?")
NAME = re.compile(r"[a-z][a-z0-9_]*")
ECOSYSTEM = "Hex"
PUBLIC = "hexpm"
SUMMARY_LENGTH_MAX = 500
URL_LENGTH_MAX = 2_000
LIST_MAX = 200
MEMBERS_MAX = 100_000
MEMBER_SIZE_MAX = 4 * 1024 * 1024
UNPACKED_SIZE_MAX = 512 * 1024 * 1024
VERSIONS_MAX = 5_000
WORDS = {"LOW": "low", "MODERATE": "medium", "MEDIUM": "medium", "HIGH": "high"} | {
    "CRITICAL": "critical"
}


@dataclass(frozen=True, slots=True)
class Range:
    """Versions from `introduced` on (None: from the first) to before `fixed` or up to `last`."""

    introduced: str | None = None
    fixed: str | None = None
    last: str | None = None


@dataclass(frozen=True, slots=True)
class Affected:
    """What of one package an advisory is about. `versions` are named one by one."""

    repository: str
    package: str
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An advisory. `rating` is `none`, `low`, `medium`, `high`, `critical` or None."""

    id: str
    summary: str
    aliases: tuple[str, ...]
    published_at: datetime
    modified_at: datetime
    withdrawn_at: datetime | None
    vector: str | None
    score: float | None
    rating: str | None
    references: tuple[tuple[str, str], ...]
    affected: tuple[Affected, ...]


def documents(data: bytes) -> Iterator[object]:
    """The decoded advisories of an export: JSON, a list, JSON lines, or a ZIP of JSON files.

    Raises Malformed.
    """
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            yield from _zipped(data)
        else:
            yield from _decoded(data)
    except (msgspec.DecodeError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise Malformed(f"no OSV export: {error}") from None


def _zipped(data: bytes) -> Iterator[object]:
    left = UNPACKED_SIZE_MAX
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist()[:MEMBERS_MAX]:
            if not member.filename.endswith(".json"):
                continue
            left -= member.file_size
            if member.file_size > MEMBER_SIZE_MAX or left < 0:
                raise ValueError(f"{member.filename} is too big")
            yield from _decoded(archive.read(member))


def _decoded(data: bytes) -> Iterator[object]:
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        yield from (msgspec.json.decode(line) for line in data.splitlines() if line.strip())
        return
    yield from value if isinstance(value, list) else [value]


def read(value: object) -> Entry:
    """An advisory from decoded JSON; packages of other ecosystems are left out. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed("an advisory must be an object")
    id = value.get("id")
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise Malformed("an advisory must have an id")
    modified = _moment(value, "modified", id)
    if modified is None:
        raise Malformed(f"{id}: modified must be a moment")
    vector, score, rating = _severity(value)
    return Entry(
        id=id,
        summary=_summary(value, id),
        aliases=tuple(text for text in _texts(value.get("aliases")) if ID.fullmatch(text)),
        published_at=_moment(value, "published", id) or modified,
        modified_at=modified,
        withdrawn_at=_moment(value, "withdrawn", id),
        vector=vector,
        score=score,
        rating=rating,
        references=_references(value.get("references")),
        affected=_affected(value.get("affected")),
    )


def _summary(value: dict[object, object], id: str) -> str:
    for field in ("summary", "details"):
        text = value.get(field)
        if isinstance(text, str) and text.strip():
            return " ".join(text.split())[:SUMMARY_LENGTH_MAX]
    return id


def _moment(value: dict[object, object], field: str, id: str) -> datetime | None:
    text = value.get(field)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{id}: {field} must be a moment in ISO 8601") from None


def _objects(value: object, most: int = LIST_MAX) -> list[dict[object, object]]:
    found = value if isinstance(value, list) else []
    return [item for item in found[:most] if isinstance(item, dict)]


def _texts(value: object, most: int = LIST_MAX) -> list[str]:
    found = value if isinstance(value, list) else []
    return [item for item in found[:most] if isinstance(item, str)]


def _severity(value: dict[object, object]) -> tuple[str | None, float | None, str | None]:
    """The newest kind of vector that can be read, else the word of the database."""
    found = sorted(_objects(value.get("severity")), key=lambda one: str(one.get("type")))
    for one in reversed(found):
        vector = str(one.get("score"))
        score = cvss_score.score(vector)
        if score is not None:
            return vector, score, cvss_score.rating(score)
    specific = value.get("database_specific")
    word = specific.get("severity") if isinstance(specific, dict) else None
    return None, None, WORDS.get(str(word).upper())


def _references(value: object) -> tuple[tuple[str, str], ...]:
    found = []
    for one in _objects(value):
        kind, url = one.get("type"), one.get("url")
        if isinstance(url, str) and re.match(r"https?://", url) and len(url) <= URL_LENGTH_MAX:
            found.append((str(kind or "WEB")[:50], url))
    return tuple(found)


def _affected(value: object) -> tuple[Affected, ...]:
    found = []
    for one in _objects(value):
        named = _package(one.get("package"))
        if named is not None:
            versions = [text for text in _texts(one.get("versions"), VERSIONS_MAX) if _ok(text)]
            found.append(Affected(*named, _ranges(one.get("ranges")), tuple(versions)))
    return tuple(found)


def _package(value: object) -> tuple[str, str] | None:
    """Repository and name; a namespace of the purl is an organization's repository."""
    if not isinstance(value, dict) or value.get("ecosystem") != ECOSYSTEM:
        return None
    match = PURL.fullmatch(str(value.get("purl", "")))
    if match is not None:
        return match[1] or PUBLIC, match[2]
    name = value.get("name")
    return (PUBLIC, name) if isinstance(name, str) and NAME.fullmatch(name) else None


def _ranges(value: object) -> tuple[Range, ...]:
    found: list[Range] = []
    for one in _objects(value):
        if one.get("type") not in ("SEMVER", "ECOSYSTEM"):
            continue
        began: str | None = None
        open_ = False
        for event in _objects(one.get("events")):
            for kind, text in event.items():
                if kind == "introduced":
                    began, open_ = (None if text == "0" else str(text)), True
                elif kind in ("fixed", "last_affected") and open_:
                    end = {"fixed": str(text)} if kind == "fixed" else {"last": str(text)}
                    found.append(Range(introduced=began, **end))
                    open_ = False
        if open_:
            found.append(Range(introduced=began))
    return tuple(each for each in found if all(map(_ok, _bounds(each))))


def _bounds(range: Range) -> list[str]:
    return [text for text in (range.introduced, range.fixed, range.last) if text is not None]


def _ok(text: str) -> bool:
    try:
        Version.parse(text)
    except Malformed:
        return False
    return True
