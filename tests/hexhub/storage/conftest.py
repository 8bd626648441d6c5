"""One S3 server for all tests of storages; each makes a bucket of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hexhub.storage import buckets


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address."""
    with buckets.server() as address:
        yield address
