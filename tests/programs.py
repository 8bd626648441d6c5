"""Programs that tests run: skipped without them on a developer's machine, failed in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> None:
    """Skip without it on a developer's machine; fail in CI, where it has to be."""
    if shutil.which(program) is not None:
        return
    cannot(f"{program} is not installed")


def cannot(reason: str) -> None:
    """What a test needs is not here: skip, or fail in CI, where it has to be."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI has to run this")
    pytest.skip(reason)
