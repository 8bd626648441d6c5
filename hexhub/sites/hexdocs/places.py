"""Where documentation is: on the hub's own host, or on one of its own."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from hexhub.http.call import Call
from hexhub.schema import PUBLIC
from hexhub.sites.hexdocs.readers import Place

SAFE = "/@:+!$&'()*,;=-._~"


def is_hub(call: Call) -> bool:
    """Whether this request came to the hub's own host, where strangers' pages need a sandbox."""
    return call.hub.docs_host is None or not _is_docs_host(call)


def is_right_host(call: Call) -> bool:
    """Whether documentation is answered where this request came to."""
    return call.hub.docs_host is None or _is_docs_host(call)


def _is_docs_host(call: Call) -> bool:
    return call.request.headers.get("Host", "").lower() == (call.hub.docs_host or "").lower()


def base(call: Call, repository: str, name: str, *, here: bool = False) -> str:
    """The path of a package's documentation, with a slash at its end; `here`: on the hub's host."""
    if call.hub.docs_host is None or here:
        inside = f"/docs/{name}/" if repository == PUBLIC else f"/repos/{repository}/docs/{name}/"
    else:
        inside = f"/{name}/" if repository == PUBLIC else f"/repos/{repository}/{name}/"
    return quote(inside, safe=SAFE)


def origin(call: Call, *, here: bool = False) -> str:
    """Scheme and host of documentation."""
    if call.hub.docs_host is None or here:
        return call.hub.url
    return f"{urlsplit(call.hub.url).scheme}://{call.hub.docs_host}"


def address(call: Call, place: Place, token: str | None, path: str, *, here: bool = False) -> str:
    """The whole address of a page, with what was asked after `?`."""
    version = f"{quote(place.version, safe=SAFE)}/" if place.version else ""
    secret = f"{token}/" if token else ""
    _, mark, query = call.request.raw_path.partition("?")
    return (
        origin(call, here=here)
        + base(call, place.repository, place.name, here=here)
        + version
        + secret
        + quote(path, safe=SAFE)
        + mark
        + query
    )
