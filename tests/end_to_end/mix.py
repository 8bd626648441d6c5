"""mix with the Hex client in a home of its own, and projects to publish and to fetch for."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.node import Output, run

TIMEOUT_S = 60.0


def mix_home() -> str:
    """Where archives are installed: the one part of the user's home that the tests use."""
    return os.environ.get("MIX_HOME") or str(Path.home() / ".mix")


@functools.cache
def missing_mix() -> str | None:
    """Why the tests with mix cannot run here; None when they can."""
    if shutil.which("mix") is None:
        return "mix is not installed"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path.home()),
        "LANG": "C.UTF-8",
        "MIX_HOME": mix_home(),
        "HEX_OFFLINE": "1",
    }
    output = run(["mix", "hex.info"], cwd=Path("/"), environment=environment)
    if output.code != 0:
        return "mix has no Hex archive: `mix hex.info` does not work"
    return None


class Mix:
    """One developer: a home with Hex's configuration, caches and credentials."""

    def __init__(self, home: Path, variables: Mapping[str, str] | None = None) -> None:
        reason = missing_mix()
        if reason is not None:
            pytest.skip(reason)
        home.mkdir(parents=True, exist_ok=True)
        self.hex_home = home / "hex"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "MIX_HOME": mix_home(),
            "HEX_HOME": str(self.hex_home),
            **(variables or {}),
        }

    def extended(self, variables: Mapping[str, str]) -> Mix:
        """The same developer with more in the environment."""
        other = copy.copy(self)
        other._environment = self._environment | dict(variables)
        return other

    def start(self, directory: Path, *arguments: str) -> subprocess.Popen[str]:
        """Begin `mix ARGUMENTS`, which waits for something; both of its streams are its output."""
        return subprocess.Popen(
            ["mix", *arguments],
            cwd=directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def try_run(self, directory: Path, *arguments: str) -> Output:
        """Run `mix ARGUMENTS` in `directory`."""
        return run(
            ["mix", *arguments],
            cwd=directory,
            environment=self._environment,
            timeout_s=TIMEOUT_S,
        )

    def run(self, directory: Path, *arguments: str) -> str:
        """Run `mix ARGUMENTS`, which must succeed; both of its streams."""
        output = self.try_run(directory, *arguments)
        assert output.code == 0, f"mix {' '.join(arguments)}: {output.code}\n{output.text}"
        return output.text


def write_project(
    directory: Path, app: str, version: str, deps: str = "[]", *, docs: str | None = None
) -> Path:
    """A mix library in `directory/app`, ready to publish; `docs` is the text of its one page.

    ExDoc is not needed: the project's own `docs` alias writes the page.
    """
    module = "".join(part.capitalize() for part in app.split("_"))
    project = directory / app
    (project / "lib").mkdir(parents=True)
    (project / "lib" / f"{app}.ex").write_text(
        f'defmodule {module} do\n  def answer, do: "{app} {version}"\nend\n'
    )
    page = docs or f"<p>{app} {version}</p>"
    (project / "mix.exs").write_text(f"""\
defmodule {module}.MixProject do
  use Mix.Project

  def project do
    [
      app: :{app},
      version: "{version}",
      description: "The library {app}",
      package: [licenses: ["Apache-2.0"], links: %{{"Home" => "https://example.org/{app}"}}],
      deps: {deps},
      aliases: [docs: &docs/1]
    ]
  end

  def application, do: []

  defp docs(_arguments) do
    File.mkdir_p!("doc")
    File.write!("doc/index.html", "{page}")
  end
end
""")
    return project
