"""Where the operator's socket is, and how a path too long for a socket is reached."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "admin.sock"
PATH_LENGTH_MAX = 100
"""The kernel takes 107 bytes; a longer path goes through a short link to its folder."""


@contextmanager
def short_path(data_dir: Path, *, fresh: bool = False) -> Iterator[str]:
    """A path to the socket that fits, good inside the block. `fresh` removes an old socket."""
    path = data_dir.absolute() / NAME
    if fresh:
        remove(data_dir)
    if len(os.fsencode(path)) <= PATH_LENGTH_MAX:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="hexhub-") as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent)
        yield str(link / NAME)


def remove(data_dir: Path) -> None:
    """Take the socket away."""
    (data_dir / NAME).unlink(missing_ok=True)
