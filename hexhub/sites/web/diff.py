"""What changed between two versions of a package, file by file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp.web import StreamResponse

from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.rendering import TooMuch
from hexhub.schema import PUBLIC
from hexhub.sites.web import files, pages, reading
from hexhub.unpacked import Entry, Pack

routes = Routes(pages.web)

FILES_MAX = 200
"""Files whose lines are compared on one page; the names of all others are listed."""
FILE_MAX = 300_000
TIME_S = 6.0
"""After this long the files that are left are only named."""
LINES_MAX = 6_000
OPEN_LINES = 400
"""A file with more changed lines than this starts closed."""


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A file that differs. `note` says why there are no lines."""

    path: str
    kind: str
    hunks: list[dict[str, Any]]
    added: int = 0
    removed: int = 0
    note: str = ""


@routes.get("/diff/{name}/{range}", allow=pages.READER)
async def public(call: Call) -> StreamResponse:
    """Two versions of a public package."""
    return await _diff(call, PUBLIC, call.path["name"], call.path["range"])


@routes.get("/diff/{repository}/{name}/{range}", allow=pages.READER)
async def private(call: Call) -> StreamResponse:
    """Two versions of an organization's package."""
    return await _diff(call, call.path["repository"], call.path["name"], call.path["range"])


@routes.get("/diff/{name}", allow=pages.READER)
async def choose(call: Call) -> StreamResponse:
    """From a form: `from` and `to` in the query; without script that is how one gets here."""
    repository, name = str(call.query.get("repository", PUBLIC)), call.path["name"]
    old, new = str(call.query.get("from", "")), str(call.query.get("to", ""))
    if not reading.is_version(old) or not reading.is_version(new):
        raise NotFound("Choose two versions to compare.")
    return pages.redirect(reading.diff_path(repository, name, old, new), status=302)


async def _diff(call: Call, repository: str, name: str, wanted: str) -> StreamResponse:
    old, dots, new = wanted.partition("..")
    shown = await reading.find(call, repository, name)
    if not dots:
        raise NotFound("Two versions, as in 1.0.0..1.1.0, are compared here.")
    before, after = shown.release(old), shown.release(new)
    versions = [each.version for each in shown.releases]
    packs = (
        await reading.contents(call, shown, before),
        await reading.contents(call, shown, after),
    )
    changed, more = await _changed(call, *packs)
    return pages.page(
        "diff.html",
        name=name,
        repository=repository,
        old=old,
        new=new,
        changed=changed,
        more=more,
        versions=versions,
        base=reading.package_path(repository, name),
        added=sum(each.added for each in changed),
        removed=sum(each.removed for each in changed),
        open_lines=OPEN_LINES,
        public=PUBLIC,
    )


async def _changed(call: Call, before: Pack, after: Pack) -> tuple[list[FileDiff], list[str]]:
    differing = [
        path
        for path in sorted(before.entries.keys() | after.entries.keys())
        if _etag(before.entries.get(path)) != _etag(after.entries.get(path))
    ]
    found, lines = [], 0
    clock = asyncio.get_running_loop().time
    until = clock() + TIME_S
    for path in differing[:FILES_MAX]:
        tell_lines = lines < LINES_MAX and clock() < until
        each = await _file(call, before, after, path, tell_lines=tell_lines)
        lines += each.added + each.removed
        found.append(each)
    return found, differing[FILES_MAX:]


def _etag(entry: Entry | None) -> str | None:
    return entry.etag if entry else None


async def _file(call: Call, before: Pack, after: Pack, path: str, *, tell_lines: bool) -> FileDiff:
    old, new = before.entries.get(path), after.entries.get(path)
    kind = "added" if old is None else "removed" if new is None else "changed"
    if max(entry.size for entry in (old, new) if entry) > FILE_MAX:
        return FileDiff(path, kind, [], note="Too large to compare here.")
    texts = [
        files.text_of(pack.read(entry)) if entry else ""
        for pack, entry in ((before, old), (after, new))
    ]
    if texts[0] is None or texts[1] is None:
        return FileDiff(path, kind, [], note="Not a text.")
    if not tell_lines:
        return FileDiff(path, kind, [], note="Left out: this page is long enough.")
    key = ("changes", _etag(old) or "", _etag(new) or "")
    try:
        hunks = await call.hub.rendering.work(key, "changes", old=texts[0], new=texts[1])
    except TooMuch:
        return FileDiff(path, kind, [], note="Too different to compare here.")
    signs = [line[0] for hunk in hunks for line in hunk["lines"]]
    return FileDiff(path, kind, hunks, signs.count("+"), signs.count("-"))
