"""File systems of their own for tests: one in memory that fills, one on a file that breaks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import cannot, require

PIECE = bytes(1 << 20)


def _done(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def in_memory(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size at `folder`."""
    folder.mkdir()
    mounted = _done("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    if not mounted:
        cannot("no file system can be mounted here")
    try:
        yield folder
    finally:
        _done("umount", "-l", str(folder))


class BreakingDisk:
    """ext4 on a file, which becomes read-only at its first error, as a broken disk's does."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(300 << 20)
        require("mkfs.ext4")
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)

    def mount(self) -> None:
        options = "loop,errors=remount-ro"
        if not _done("mount", "-o", options, str(self._image), str(self.folder)):
            cannot("no loop device can be mounted here")

    def fail(self) -> None:
        """Let the kernel find an error: from here on it takes no writes."""
        device = os.stat(self.folder).st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("x")

    def mend(self) -> None:
        """Unmount, check and mount it again."""
        subprocess.run(["umount", str(self.folder)], check=True)
        checked = subprocess.run(["fsck.ext4", "-fy", str(self._image)], capture_output=True)
        assert checked.returncode in (0, 1), checked
        self.mount()

    def close(self) -> None:
        _done("umount", "-l", str(self.folder))


def fill(folder: Path, leave: int) -> Path:
    """Write a file until only `leave` bytes are free; delete it to make room again."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file:
        while True:
            state = os.statvfs(folder)
            left = state.f_bavail * state.f_frsize - leave
            if left <= 0:
                return path
            try:
                file.write(PIECE[:left])
            except OSError:
                return path
