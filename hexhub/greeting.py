"""What a person who starts a node needs next."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hexhub import __version__
from hexhub.config import Config
from hexhub.domain import users
from hexhub.hub import Hub, client_lines


def greet(config: Config, hub: Hub) -> None:
    """What a person needs next. The first-run link goes to a terminal and a file, never to a log."""
    path = config.data_dir / "first-run"
    with hub.store.view() as view:
        needs_administrator = not users.administrators(view)
    print(f"HexHub {__version__}, node {config.node_name}, on {hub.url}")
    if needs_administrator:
        link = f"{hub.url}/first-run?token={hub.first_run_token}"
        _write_private(path, link)
        where = link if sys.stdout.isatty() else f"the link in {path}"
        print(f"\nNo administrator yet. Make the first one within 24 hours: {where}\n")
        for line in client_lines(hub):
            print(f"  {line}")
        print()
    else:
        path.unlink(missing_ok=True)
    sys.stdout.flush()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
