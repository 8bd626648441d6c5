"""Writes a small store of today's format: `python -m tests.upgrade.write NUMBER`, once a format."""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from tests.end_to_end.node import RunningNode
from tests.hexhub.packages import docs, package

HERE = Path(__file__).parent
SECRET = "0123456789abcdef" * 4
PASSPHRASE = "correct horse battery"


def fill(node: RunningNode) -> None:
    """Something in most tables."""
    node.create_user("mara")
    node.create_user("nils")
    node.create_organization("acme", "mara")
    key = node.create_key("mara", "api", name="laptop")
    for version in ("1.0.0", "1.1.0"):
        body = package("decimal", version)
        assert node.request("POST", "/api/publish", key=key, body=body).status == 201
    path = "/api/packages/decimal/releases/1.0.0"
    assert node.request("POST", f"{path}/docs", key=key, body=docs()).status == 201
    inner = package("inner")
    assert node.request("POST", "/api/repos/acme/publish", key=key, body=inner).status == 201


def main(number: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        node = RunningNode(root, {"SECRET_KEY_BASE": SECRET})
        fill(node)
        (root / "passphrase").write_text(PASSPHRASE)
        target = HERE / f"backup-{number}.tar.gz"
        node.command("backup", "create", str(target), "--passphrase-file", str(root / "passphrase"))
        (HERE / f"fingerprint-{number}").write_text(node.fingerprint() + "\n")
        assert node.stop() == 0
        with tarfile.open(HERE / f"format-{number}.tar.gz", "w:gz", compresslevel=9) as archive:
            for part in ("cluster", "storage"):
                archive.add(root / "data" / part, part)


if __name__ == "__main__":
    main(sys.argv[1])
