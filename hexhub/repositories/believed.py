"""What came from the upstream, believed or refused, and what is kept, read again.

A file is believed for its signature, or for a checksum that a believed file tells of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec

from hexhub.errors import HubError, UpstreamWrong
from hexhub.formats import registry as wire, registry_chunks
from hexhub.repositories import verification
from hexhub.repositories.copies import Copies
from hexhub.repositories.mirrored import Kind, Mirrored
from hexhub.repositories.upstream import Fetched
from hexhub.schema import Kept

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from hexhub.storage import Storage
    from hexhub.storage.memory import SmallBlobs

T = TypeVar("T")

ARCHIVE_SIZE_MAX = 16 * 1024 * 1024
"""Bytes of a tarball or docs archive (docs.md §1)."""
DOCUMENT_SIZE_MAX = 8 * 1024 * 1024
OFF_LOOP_SIZE = 16 * 1024
"""Bodies above this many bytes are inflated and read on a thread."""
DECODED_MAX = 2000
"""Packages kept decoded."""


class Believed:
    def __init__(
        self,
        copies: Copies,
        mirrored: Mirrored,
        storage: Storage,
        small: SmallBlobs,
        public_key: RSAPublicKey,
    ) -> None:
        self._copies = copies
        self._mirrored = mirrored
        self._storage = storage
        self._small = small
        self.public_key = public_key
        self._executor = ThreadPoolExecutor(1, "mirror")
        self._decoded: OrderedDict[bytes, wire.RegistryPackage] = OrderedDict()
        self._lists: dict[str, tuple[bytes, dict[str, bytes]]] = {}
        self.package = Kind(
            site="repo",
            size_max=verification.RESOURCE_SIZE_MAX,
            verify=self._verify_package,
            early=True,
        )
        self.listing = Kind(
            site="repo", size_max=verification.RESOURCE_SIZE_MAX, verify=self._verify_list
        )
        self.tarball = Kind(
            site="repo",
            size_max=ARCHIVE_SIZE_MAX,
            verify=self._verify_tarball,
            fresh=None,
            early=True,
        )
        self.docs = Kind(
            site="repo",
            size_max=ARCHIVE_SIZE_MAX,
            verify=self._verify_docs,
            fresh=timedelta(days=1),
            stale=timedelta(days=1),
            absent=timedelta(minutes=5),
        )
        self.document = Kind(
            site="api",
            size_max=DOCUMENT_SIZE_MAX,
            verify=self._verify_document,
            accept="application/json",
        )

    async def _verify_package(self, path: str, fetched: Fetched, old: Kept | None) -> None:
        name = path.removeprefix("packages/")

        def check() -> wire.RegistryPackage:
            body = fetched.read()
            return verification.package(verification.payload(body, self.public_key), name)

        new = await self._if_large(check, fetched.size)
        if old is not None and old.checksum != fetched.checksum:
            await self._follows(path, old, new)
        self._remember(fetched.checksum, new)

    async def _follows(self, path: str, old: Kept, new: wire.RegistryPackage) -> None:
        """Refuse a step back, and drop tarballs that were replaced (mirror.md §2.3, §2.4)."""
        try:
            before = await self.package_of(old)
        except HubError:
            return  # the old bytes are lost here: there is nothing to compare with
        verification.no_step_back(before, new, self._mirrored.checked_at(old))
        after = {release.version: release.outer_checksum for release in new.releases}
        for release in before.releases:
            tarball = f"tarballs/{new.name}-{release.version}.tar"
            replaced = after.get(release.version, release.outer_checksum) != release.outer_checksum
            if replaced and self._copies.get(tarball) is not None:
                self._mirrored.forget(tarball)

    async def _verify_list(self, path: str, fetched: Fetched, old: Kept | None) -> None:
        def check() -> dict[str, bytes]:
            body = fetched.read()
            return _split(verification.payload(body, self.public_key))

        new = await self._if_large(check, fetched.size)
        if old is not None and old.checksum != fetched.checksum:
            try:
                before = await self.list_of(old)
            except HubError:
                before = {}
            verification.no_older_list(before, new, dated=path == "names")
        self._lists[path] = (fetched.checksum, new)

    async def _verify_tarball(self, path: str, fetched: Fetched, old: Kept | None) -> None:
        name, _, rest = path.removeprefix("tarballs/").partition("-")
        row = self._copies.get(f"packages/{name}")
        package = await self.package_of(row) if row is not None else None
        wanted = checksum_of(package, rest.removesuffix(".tar"))
        if wanted is None:
            raise UpstreamWrong(f"{path}: no checksum of it was signed")
        if fetched.checksum != wanted:
            raise UpstreamWrong(f"{path}: its checksum is not the one of the signed registry")

    async def _verify_docs(self, path: str, fetched: Fetched, old: Kept | None) -> None:
        """Docs are not signed; that they are an archive keeps a login page of a network out."""

        def check() -> None:
            verification.archive(fetched.read())

        await self.on_thread(check)

    async def _verify_document(self, path: str, fetched: Fetched, old: Kept | None) -> None:
        body = await self.on_thread(fetched.read)
        try:
            msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamWrong(f"{path}: not a document of the API") from None

    async def read(self, row: Kept) -> bytes:
        """The bytes of a kept copy. Raises NotFound, Damaged."""
        known = self._small.get(row.checksum)
        if known is not None:
            return known
        blob = await self._storage.open(row.checksum)
        return await blob.read()

    async def payload(self, row: Kept) -> bytes:
        """What a kept registry resource signs."""
        body = await self.read(row)
        return await self._if_large(lambda: verification.payload(body, self.public_key), len(body))

    async def package_of(self, row: Kept) -> wire.RegistryPackage:
        known = self._decoded.get(row.checksum)
        if known is not None:
            self._decoded.move_to_end(row.checksum)
            return known
        payload = await self.payload(row)
        name = row.path.removeprefix("packages/")
        package = await self._if_large(lambda: verification.package(payload, name), len(payload))
        self._remember(row.checksum, package)
        return package

    def _remember(self, checksum: bytes, package: wire.RegistryPackage) -> None:
        self._decoded[checksum] = package
        while len(self._decoded) > DECODED_MAX:
            self._decoded.popitem(last=False)

    async def list_of(self, row: Kept) -> dict[str, bytes]:
        known = self._lists.get(row.path)
        if known is not None and known[0] == row.checksum:
            return known[1]
        payload = await self.payload(row)
        entries = await self._if_large(lambda: _split(payload), len(payload))
        self._lists[row.path] = (row.checksum, entries)
        return entries

    async def on_thread(self, work: Callable[[], T]) -> T:
        """Work on a thread of the mirror."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _if_large(self, work: Callable[[], T], size: int) -> T:
        return await self.on_thread(work) if size > OFF_LOOP_SIZE else work()

    def close(self) -> None:
        self._executor.shutdown(wait=True)


def _split(payload: bytes) -> dict[str, bytes]:
    try:
        repository, entries = registry_chunks.split(payload)
    except HubError as error:
        raise UpstreamWrong(str(error)) from None
    verification.repository(repository)
    return entries


def checksum_of(package: wire.RegistryPackage | None, version: str) -> bytes | None:
    releases = package.releases if package else ()
    return next((r.outer_checksum for r in releases if r.version == version), None)
