"""Bodies on their way in: a private file in the data directory, hashed and bounded while it grows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hexhub.errors import TooLarge
from hexhub.storage import Spooled
from hexhub.storage.local import full_or

FLUSH_AT = 1 << 20


class Spool:
    """A folder for bodies. What an earlier run left in it is deleted."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder

    @asynccontextmanager
    async def take(self, chunks: AsyncIterator[bytes], size_max: int) -> AsyncIterator[Spooled]:
        """Write a body to a file that is gone after the block unless it was moved.

        Raises TooLarge above `size_max` bytes, StorageFull without room.
        """
        loop = asyncio.get_running_loop()
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        path = Path(name)
        try:
            digest, size, waiting = hashlib.sha256(), 0, bytearray()

            def flush() -> None:
                digest.update(waiting)
                view = memoryview(waiting)
                while view:
                    view = view[os.write(descriptor, view) :]

            async for chunk in chunks:
                size += len(chunk)
                if size > size_max:
                    raise TooLarge
                waiting += chunk
                if len(waiting) >= FLUSH_AT:
                    await loop.run_in_executor(None, flush)
                    waiting = bytearray()
            await loop.run_in_executor(None, flush)
            yield Spooled(path, size, digest.digest())
        except OSError as error:
            raise full_or(error) from error
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):  # put moves it away
                os.unlink(path)
