"""rebar3 in a home of its own, and projects for it to fetch the dependencies of."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.node import Output, run
from tests.programs import require

TIMEOUT_S = 60.0


def require_rebar3() -> None:
    """Skip without rebar3 on a developer's machine; fail in CI, where it has to be."""
    require("rebar3")


@dataclass(frozen=True)
class Repository:
    """An entry of rebar3's `repos`."""

    name: str
    url: str
    public_key: str
    key: str | None = None

    def term(self) -> str:
        pem = self.public_key.replace("\n", "\\n")
        fields = [
            f'name => <<"{self.name}">>',
            f'repo_url => <<"{self.url}">>',
            f'repo_public_key => <<"{pem}">>',
        ]
        if self.key is not None:
            fields.append(f'repo_key => <<"{self.key}">>')
        return "#{" + ", ".join(fields) + "}"


class Rebar3Project:
    """An application with dependencies, in a directory with its own home and caches.

    rebar3 3.19 takes the address of the repository named `hexpm` from `HEX_CDN` alone and ignores
    that entry's `repo_url`; the key it takes from the entry. So a repository of that name sets both.
    """

    def __init__(self, directory: Path, deps: str, repositories: list[Repository]) -> None:
        """`deps` is the Erlang list of the `deps` option."""
        require_rebar3()
        self.directory = directory / "project"
        home = directory / "home"
        home.mkdir(parents=True)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        for each in repositories:
            if each.name == "hexpm":
                self._environment["HEX_CDN"] = each.url
        (self.directory / "src").mkdir(parents=True)
        (self.directory / "src" / "consumer.app.src").write_text(
            '{application,consumer,[{vsn,"0.1.0"},{applications,[kernel,stdlib]}]}.\n'
        )
        terms = ", ".join(each.term() for each in repositories)
        (self.directory / "rebar.config").write_text(
            f"{{deps, {deps}}}.\n{{hex, [{{repos, replace, [{terms}]}}]}}.\n"
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin `rebar3 ARGUMENTS`, which waits for something; both of its streams are its output."""
        return subprocess.Popen(
            ["rebar3", *arguments],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> Output:
        return run(
            ["rebar3", *arguments],
            cwd=self.directory,
            environment=self._environment,
            timeout_s=TIMEOUT_S,
        )

    @property
    def _libraries(self) -> Path:
        return self.directory / "_build" / "default" / "lib"

    def fetched(self) -> set[str]:
        """Names of the applications that were fetched as dependencies."""
        if not self._libraries.exists():
            return set()
        found = (each.name for each in self._libraries.iterdir() if (each / "src").exists())
        return {name for name in found if name != "consumer"}

    def compiled(self, app: str) -> bool:
        return (self._libraries / app / "ebin" / f"{app}.beam").exists()

    def lock(self) -> str:
        return (self.directory / "rebar.lock").read_text()
