"""`hexhub import hub`: everything of a repository of another Hex server, verified, and resumable."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hexhub.cli.importing import Importer, by, dry_run, import_, into, reason_of, said_of
from hexhub.cli.node import Failed, Options, as_json
from hexhub.cli.progress import Progress
from hexhub.errors import Malformed
from hexhub.formats.registry_values import RegistryRelease
from hexhub.formats.version import Version
from hexhub.schema import PUBLIC

AT_ONCE = 4
UNVERIFIED = 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of it: `packages` is empty for all."""

    packages: tuple[str, ...]
    docs: bool
    owners: bool


@import_.command("hub")
@click.argument("url")
@click.option("--api", "api_url", metavar="URL", help="Its API.", show_default="URL/api")
@click.option("--organization", metavar="ORG", help="A private organization there.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="File with an API key of that server; - is standard input.",
)
@click.option(
    "--public-key",
    "pem_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The repository's public key (PEM).",
)
@click.option("--fingerprint", metavar="SHA256:…", help="That key's fingerprint.")
@click.option("--ca-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--package", "packages", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option("--docs/--no-docs", default=True, show_default=True, help="Documentation too.")
@click.option("--owners/--no-owners", default=True, show_default=True, help="Owners too.")
@into
@by
@dry_run
@as_json
@click.pass_obj
def hub(
    options: Options,
    url: str,
    api_url: str | None,
    organization: str | None,
    key_file: Path | None,
    pem_file: Path | None,
    fingerprint: str | None,
    ca_file: Path | None,
    packages: tuple[str, ...],
    docs: bool,
    owners: bool,
    repository: str,
    user: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """From the repository at URL of another Hex server, checked against its public key.

    Names, versions, checksums and retirements come as they are signed; owners where accounts of
    their names are here. --public-key or --fingerprint says which key is believed. A HexHub that
    mirrors an upstream has its own packages, with the upstream's, at URL/repo. What is here
    already is not fetched again, so a second run goes on. Exit codes: 7 not as it was signed,
    10 done in part.
    """
    if pem_file is None and fingerprint is None:
        raise click.UsageError("say which key is believed: --public-key FILE or --fingerprint")
    place = _place(url, api_url, organization, _key(key_file))
    importer = Importer(options, repository, user, dry_run)
    wanted = Wanted(packages, docs, owners)
    broken = asyncio.run(_run(importer, place, wanted, pem_file, fingerprint, ca_file))
    if broken is not None:
        importer.report.skipped["what was left"] = f"{broken}; run this again to go on"
    importer.finish(as_json)


def _key(file: Path | None) -> str | None:
    if file is None:
        return None
    text = sys.stdin.readline() if str(file) == "-" else file.read_text("utf-8")
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise Failed("the key must be one line of printable characters", 2)
    return text


def _place(url: str, api_url: str | None, organization: str | None, key: str | None) -> Any:
    from hexhub.cli.other_hub import Place, checked_url

    try:
        registry_url = checked_url(url, key=key is not None)
        api = checked_url(api_url or f"{registry_url.removesuffix('/repo')}/api", key=bool(key))
    except ValueError as error:
        raise Failed(f"the address {error}", 2) from None
    return Place(registry_url, api, organization or PUBLIC, organization, key)


async def _run(
    importer: Importer,
    place: Any,
    wanted: Wanted,
    pem_file: Path | None,
    fingerprint: str | None,
    ca_file: Path | None,
) -> str | None:
    """Import what is wanted; why it ended before its end, None when it did not."""
    from hexhub.cli.other_hub import Away, connected

    async with connected(place, ca_file) as source:
        try:
            pem = None if pem_file is None else await asyncio.to_thread(pem_file.read_bytes)
            await source.trust(pem, fingerprint)
            names = list(wanted.packages) or await source.names()
        except Malformed as error:
            raise Failed(f"{place.registry_url}: {error}", UNVERIFIED) from None
        except Away as error:
            raise Failed(str(error), 1) from None
        users = {row["username"] for row in await _ask(importer, "GET", "/users")}
        transfer = Transfer(importer, source, wanted, frozenset(users))
        try:
            await transfer.all(names)
        except Away as error:
            return str(error)
    return None


async def _ask(importer: Importer, method: str, path: str, **more: Any) -> Any:
    return await asyncio.to_thread(importer.options.ask, method, path, **more)


class Transfer:
    """Package by package, a few at once; one that is refused stops nothing."""

    def __init__(
        self, importer: Importer, source: Any, wanted: Wanted, users: frozenset[str]
    ) -> None:
        self._importer = importer
        self._source = source
        self._wanted = wanted
        self._users = users
        self._done = 0
        self._bar = Progress("packages")

    async def all(self, names: list[str]) -> None:
        """Raises Away when the server stops answering, Failed when the node does."""
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                try:
                    await self._package(name)
                except Malformed as error:
                    self._importer.report.skipped[name] = str(error)
                self._done += 1
                self._bar.show(self._done, len(names))

        tasks = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._bar.end()

    async def _package(self, name: str) -> None:
        found = await self._source.package(name)
        if found is None:
            self._importer.report.skipped[name] = "there is no such package"
            return
        here = await self._here(name)
        owners = await self._owners(name)
        first = next((who for who, level in owners if level == "full"), None)
        came = False
        for release in sorted(found.releases, key=lambda release: _order(release.version)):
            came |= await self._release(name, release, here.get(release.version), first)
        if came or here:
            await self._give(name, owners)

    async def _here(self, name: str) -> dict[str, dict[str, Any]]:
        query = {"repository": self._importer.repository, "package": name}
        rows = await _ask(self._importer, "GET", "/import/releases", query=query)
        return {row["version"]: row for row in rows}

    async def _owners(self, name: str) -> list[tuple[str, str]]:
        """Those owners that have an account here."""
        if not self._wanted.owners:
            return []
        told = await self._source.owners(name)
        if told is None:
            self._importer.report.counts["packages whose owners are not told (give a key)"] += 1
            return []
        known = [(who, level) for who, level in told if who in self._users]
        if len(known) < len(told):
            self._importer.report.counts["owners without an account here"] += len(told) - len(known)
        return known

    async def _give(self, name: str, owners: list[tuple[str, str]]) -> None:
        for who, level in sorted(owners, key=lambda owner: owner[1] != "full"):
            body = {"package": name, "username": who, "level": level}
            await asyncio.to_thread(self._importer.fact, "owner", f"owner {who} of {name}", body)

    async def _release(
        self,
        name: str,
        release: RegistryRelease,
        here: dict[str, Any] | None,
        owner: str | None,
    ) -> bool:
        """Bring one release with what belongs to it; whether it is here now."""
        importer, version = self._importer, release.version
        outer = release.outer_checksum.hex() if release.outer_checksum else None
        if here is not None and here["outer"] == outer:
            importer.report.counts["release there"] += 1
        elif not await self._tarball(name, release, outer, owner):
            return False
        if release.retired is not None and not (here and here["retired"]):
            said = {
                "package": name,
                "version": version,
                "reason": reason_of(release.retired.reason),
                "message": release.retired.message,
            }
            await asyncio.to_thread(
                importer.fact, "retirement", f"retirement of {name} {version}", said
            )
        if self._wanted.docs and not (here and here["docs"]):
            await self._documentation(name, version)
        return True

    async def _tarball(
        self, name: str, release: RegistryRelease, outer: str | None, owner: str | None
    ) -> bool:
        file = f"{name}-{release.version}.tar"
        body = await self._source.tarball(name, release.version)
        problem = _problem(body, outer)
        if body is None or problem:
            self._importer.report.skipped[file] = problem
            return False
        more = said_of(name, release)
        if owner is not None:
            more["user"] = owner
        return await asyncio.to_thread(self._importer.file, "release", file, body, **more)

    async def _documentation(self, name: str, version: str) -> None:
        body = await self._source.docs(name, version)
        if body is not None:
            await asyncio.to_thread(
                self._importer.file,
                "docs",
                f"{name}-{version}.tar.gz",
                body,
                package=name,
                version=version,
            )


def _problem(body: bytes | None, outer: str | None) -> str:
    if body is None:
        return "the registry names it, and the server does not have it"
    if outer is not None and hashlib.sha256(body).hexdigest() != outer:
        return "does not have the checksum that its registry names"
    return ""


def _order(version: str) -> tuple[bool, Any]:
    with suppress(Malformed):
        return False, Version.parse(version)
    return True, version
