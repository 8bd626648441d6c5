"""A clean machine for the lines of the README: a checkout, a project, a home, and nothing inherited."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA512

from hexhub.formats import signing_key
from tests.end_to_end.mix import mix_home
from tests.end_to_end.node import ROOT, Output, run

HUB = "http://hub:4000"
TIMEOUT_S = 120.0


def blocks(text: str, after: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page, language and text, from a phrase to the next bold heading."""
    part = text.partition(after)[2]
    assert part, f"{after} is not in the page"
    part = re.split(r"^(?:\*\*|## )", part, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```(\w+)\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


class Checkout:
    """A copy of the parts of this checkout that run a hub, with this Python for its `.venv`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("hexhub", "cluster", "scripts"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        binaries = root / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for name, arguments in (("python", '"$@"'), ("hexhub", '-m hexhub "$@"')):
            file = binaries / name
            file.write_text(f"#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} {arguments}\n")
            file.chmod(0o755)
        stamp = f"{root.resolve()}\n{(root / 'pyproject.toml').read_text()}"
        (root / ".venv" / ".installed-dev").write_text(stamp)


class Machine:
    """A home and a directory; commands see no variable but those given here."""

    def __init__(self, home: Path, directory: Path, variables: Mapping[str, str]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.directory = directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **variables,
        }

    def try_run(self, script: str) -> Output:
        return run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory,
            environment=self.environment,
            timeout_s=TIMEOUT_S,
        )

    def run(self, script: str) -> str:
        """Run lines of a shell, each of which must succeed."""
        output = self.try_run(script)
        assert output.code == 0, f"{script}\n{output.code}\n{output.text}"
        return output.text

    def trusts(self, builds_key: bytes, upstream_key: str) -> None:
        """Have mix believe another builder of Hex and rebar3, and another hex.pm."""
        for name, pem in (("builds.pem", builds_key), ("upstream.pem", upstream_key.encode())):
            (self.home / name).write_bytes(pem)
        self.run('mix local.public_keys --force "$HOME/builds.pem"')
        # With the Hex that is installed on this machine: here there is none yet.
        installed = f"MIX_HOME={mix_home()}"
        self.run(f'{installed} mix hex.repo set hexpm --public-key "$HOME/upstream.pem"')


class Builds:
    """The Hex and the rebar3 of this machine as `installs/` has them, signed by a key of our own."""

    def __init__(self, elixir: str = "1.14.0") -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.public_key = signing_key.public_key_pem(self._key)
        rebar3 = shutil.which("rebar3")
        assert rebar3 is not None
        builds = {
            "hex-9.9.9.ez": _hex_archive("hex-9.9.9"),
            "rebar3-9.9.9": Path(rebar3).read_bytes(),
        }
        self.files: dict[str, bytes] = {}
        for name, body in builds.items():
            program = name.partition("-")[0]
            rows = f"9.9.9,{hashlib.sha512(body).hexdigest()},{elixir}\n".encode()
            signature = base64.encodebytes(self._key.sign(rows, PKCS1v15(), SHA512()))
            self.files[f"/installs/{elixir}/{name}"] = body
            self.files[f"/installs/{program}-1.x.csv"] = rows
            self.files[f"/installs/{program}-1.x.csv.signed"] = signature


def _hex_archive(name: str) -> bytes:
    """The installed Hex as an archive of this name."""
    (ebin,) = (Path(mix_home()) / "archives").glob("hex*/hex*/ebin")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(ebin.iterdir()):
            archive.write(file, f"{name}/ebin/{file.name}")
    return buffer.getvalue()
