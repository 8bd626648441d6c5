"""A file of a package's documentation at its address (docs.md §4, §5, §7)."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp.web import Response, StreamResponse

from cluster import ClusterError
from hexhub.domain import docs
from hexhub.errors import HubError, Malformed, NotFound
from hexhub.formats.version import Version
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler, Routes
from hexhub.schema import PUBLIC, Release
from hexhub.sites.hexdocs import answers, generated, missing, places, readers, upstream
from hexhub.sites.hexdocs.readers import Place, Recognise

ALLOW = Access("who may read the documentation")


def routes(recognise: Recognise) -> Routes:
    """Documentation below a prefix that may hold `{repository}`."""

    async def docs_pages(call: Call, handler: Handler) -> StreamResponse:
        try:
            await recognise(call)
            return await handler(call)
        except NotFound as error:
            return missing.page(call, str(error))
        except (HubError, ClusterError) as error:
            return responses.error_text(call, error)

    made = Routes(docs_pages)
    made.get("/{name}", allow=ALLOW)(show)
    made.get("/{name}/{rest*}", allow=ALLOW)(show)
    return made


def top_routes(recognise: Recognise) -> Routes:
    """What a host of its own has beside documentation."""

    async def plain(call: Call, handler: Handler) -> StreamResponse:
        return await handler(call)

    made = Routes(plain)
    made.get("/", allow=ALLOW)(_top)
    made.get("/robots.txt", allow=ALLOW)(_robots)
    return made


async def _top(call: Call) -> StreamResponse:
    return answers.redirect(f"{call.hub.url}/")


async def _robots(call: Call) -> StreamResponse:
    return Response(text="User-agent: *\nDisallow: /repos/\n")


async def show(call: Call) -> StreamResponse:
    """A page, an asset, or one of the files that are made here."""
    repository, name = call.path.get("repository", PUBLIC), call.path["name"]
    rest = [part for part in call.path.get("rest", "").split("/") if part]
    version = rest.pop(0) if rest and _is_version(rest[0]) else None
    place = Place(repository, name, version)
    token = rest.pop(0) if rest and rest[0].startswith(readers.MARK) else None
    path = "/".join(rest)
    if not places.is_right_host(call) and readers.is_open(call, repository):
        return answers.redirect(places.address(call, place, None, _as_asked(call, path)))
    if not readers.is_open(call, repository):
        refused = await _admit(call, place, token, path)
        if refused is not None:
            return refused
    try:
        release, releases = _release(call, place)
    except NotFound:
        release, releases = await upstream.find(call, place)
    if path == "docs_config.js":
        return generated.docs_config(call, place, releases, token)
    if path == "sitemap.xml" and version is None and readers.is_open(call, repository):
        return await generated.sitemap(call, place, release)
    return await _file(call, place, token, release, path)


async def _admit(call: Call, place: Place, token: str | None, path: str) -> StreamResponse | None:
    """None for who may read on; else an answer: to the address with a token, or to the sign-in."""
    path = _as_asked(call, path)
    if token is not None:
        actor = readers.reader(call, place, token)
        if readers.may_read(call, actor, place.repository) and places.is_right_host(call):
            return None
        return answers.redirect(places.address(call, place, None, path, here=True))
    by_header = await readers.by_header(call)
    if readers.may_read(call, by_header, place.repository):
        return None
    if not places.is_hub(call):
        return answers.redirect(places.address(call, place, None, path, here=True))
    if call.actor.anonymous:
        back = places.address(call, place, None, path, here=True).removeprefix(call.hub.url)
        return answers.redirect(f"{call.hub.url}/login?return={quote(back)}")
    user = call.actor.user
    if user is None or not readers.may_read(call, call.actor, place.repository):
        raise NotFound
    made = readers.token(call, place, user.username)
    return answers.redirect(places.address(call, place, made, path))


def _as_asked(call: Call, path: str) -> str:
    """A path with the slash at its end that the router dropped."""
    slash = call.request.raw_path.partition("?")[0].endswith("/")
    return f"{path}/" if path and slash else path


def _release(call: Call, place: Place) -> tuple[Release, list[Release]]:
    """The release whose documentation stands at this place, and all that have some."""
    with call.hub.store.view() as view:
        releases = docs.versions_with_docs(view, place.repository, place.name)
        if place.version is None:
            release = docs.latest_with_docs(view, place.repository, place.name)
        else:
            release = next((each for each in releases if each.version == place.version), None)
    if release is None:
        raise NotFound
    return release, releases


def _is_version(text: str) -> bool:
    try:
        Version.parse(text)
    except Malformed:
        return False
    return True


async def _file(
    call: Call, place: Place, token: str | None, release: Release, path: str
) -> StreamResponse:
    raw = call.request.raw_path.partition("?")[0]
    if not path and not raw.endswith("/"):
        return answers.redirect(f"{raw}/")
    assert release.docs_checksum is not None
    pack = await call.hub.unpacked.get("docs", release.docs_checksum)
    wanted = f"{path}/index.html" if path and raw.endswith("/") else path or "index.html"
    entry = pack.entries.get(wanted)
    if entry is None and f"{path}/index.html" in pack.entries:
        return answers.redirect(f"{raw}/")
    if entry is None:
        raise NotFound(f"{place.name} {release.version} has no page {path[:200]}.")
    return await answers.file(call, place, pack, entry, release)
