"""`installs/`: builds of Hex and rebar3 for `mix local.hex` and `mix local.rebar` (registry.md §11).

A list of builds and its signature belong together and are fetched together; a build is what the
list says by its SHA-512. The signature itself is checked by Mix, which has the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from hexhub.errors import NotFound, UpstreamWrong
from hexhub.repositories.mirrored import Copy, Kind
from hexhub.repositories.upstream import Fetched, Site
from hexhub.schema import Kept

if TYPE_CHECKING:
    from hexhub.repositories.mirror import Mirror

OLD_LISTS = ("hex-1.x.csv", "rebar3-1.x.csv")
NEW_LISTS = ("hex.csv", "rebar.csv")
BUILD = re.compile(
    r"(?P<elixir>[0-9]+\.[0-9]+\.[0-9]+(?:-[A-Za-z0-9.-]{1,32})?)/"
    r"(?P<program>hex|rebar3)-(?P<version>[0-9]+\.[0-9]+\.[0-9]+(?:-(?!otp)[A-Za-z0-9.]{1,32})?)"
    r"(?:-otp-(?P<otp>[0-9]+(?:\.[0-9]+)*))?(?P<ending>\.ez)?"
)
LIST_SIZE_MAX = 4 * 1024 * 1024
BUILD_SIZE_MAX = 64 * 1024 * 1024
HOUR = timedelta(hours=1)


async def get(mirror: Mirror, file: str) -> Copy:
    """A file below `installs/`. Raises NotFound for one that no list speaks for."""
    name = file.removesuffix(".signed")
    if name in OLD_LISTS or name in NEW_LISTS:
        return await _list(mirror, name, file)
    return await mirror.mirrored.get(f"installs/{file}", await kind(mirror, file))


async def kind(mirror: Mirror, file: str) -> Kind:
    """How a file below `installs/` is checked and kept. Raises NotFound."""
    name = file.removesuffix(".signed")
    if name in OLD_LISTS or name in NEW_LISTS:
        rows, signature = _list_kinds(name)
        return rows if name == file else signature
    match = BUILD.fullmatch(file)
    if match is None:
        raise NotFound
    wanted = await _digests(mirror, match)
    if not wanted:
        raise NotFound

    async def verify(path: str, fetched: Fetched, old: Kept | None) -> None:
        body = await mirror.believed.on_thread(fetched.read)
        if hashlib.sha512(body).hexdigest() not in wanted:
            raise UpstreamWrong(f"{path}: its checksum is not the one of the list")

    site: Site = "builds" if match["otp"] else "repo"
    return Kind(site=site, size_max=BUILD_SIZE_MAX, verify=verify, fresh=None)


def _list_kinds(name: str) -> tuple[Kind, Kind]:
    """Those of a list and of its signature."""
    site: Site = "builds" if name in NEW_LISTS else "repo"
    return (
        Kind(site=site, size_max=LIST_SIZE_MAX, verify=_verify_list, fresh=HOUR, stale=HOUR),
        Kind(site=site, size_max=LIST_SIZE_MAX, verify=_verify_signature, fresh=HOUR),
    )


async def _list(mirror: Mirror, name: str, wanted: str) -> Copy:
    rows, signature = _list_kinds(name)
    listed = await mirror.mirrored.get(f"installs/{name}", rows)
    # One half that is newer than the other would not verify at the client.
    signed = await mirror.mirrored.get(
        f"installs/{name}.signed",
        signature,
        newer_than=listed.row.fetched_at - timedelta(microseconds=1),
    )
    return listed if wanted == name else signed


async def _verify_list(path: str, fetched: Fetched, old: Kept | None) -> None:
    if not _rows(fetched.read()):
        raise UpstreamWrong(f"{path}: not a list of builds")


async def _verify_signature(path: str, fetched: Fetched, old: Kept | None) -> None:
    text = fetched.read()
    try:
        base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise UpstreamWrong(f"{path}: not a signature") from None
    if not text.strip():
        raise UpstreamWrong(f"{path}: empty")


async def _digests(mirror: Mirror, build: re.Match[str]) -> set[str]:
    """The SHA-512 sums that the lists give for a build."""
    if build["otp"]:
        name = "hex.csv" if build["program"] == "hex" else "rebar.csv"
    else:
        name = f"{build['program']}-1.x.csv"
    listed = await _list(mirror, name, name)
    return {
        row[1].lower()
        for row in _rows(await mirror.believed.read(listed.row))
        if row[0] == build["version"]
        and row[2] == build["elixir"]
        and (not build["otp"] or (len(row) > 3 and row[3] == build["otp"]))
    }


def _rows(body: bytes) -> list[list[str]]:
    """Rows of a list: version, SHA-512 in hex, Elixir version, perhaps OTP's; none for other text."""
    try:
        rows = [
            line.strip().split(",") for line in body.decode("ascii").splitlines() if line.strip()
        ]
    except UnicodeDecodeError:
        return []
    sound = all(len(row) >= 3 and re.fullmatch("[0-9a-fA-F]{128}", row[1]) for row in rows)
    return rows if sound else []
