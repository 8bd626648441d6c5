"""Whom a fresh node lets form the cluster: said once, written down before, never to another."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cluster import boot
from cluster.files import replace_file


def promised(directory: Path) -> str | None:
    """Whom this node has promised to let form; None when nobody."""
    with suppress(FileNotFoundError):
        return (directory / boot.PROMISE).read_text("utf-8")
    return None


def keep_promise(directory: Path, name: str) -> None:
    """Write a promise down, durably, before it is given."""
    replace_file(directory / boot.PROMISE, name.encode())
