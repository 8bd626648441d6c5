"""Package tarballs for tests, written from tarball.md §1, §4 and §5 and by no code of the hub."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MTIME = 946_684_800  # what every client writes: 2000-01-01


@dataclass(frozen=True)
class Requirement:
    """What a package asks of another; `app` when it differs from the package's name."""

    requirement: str
    app: str | None = None
    optional: bool = False
    repository: str | None = None


def tarball(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    app: str | None = None,
    requirements: Mapping[str, Requirement] | None = None,
    build_tools: Sequence[str] = ("rebar3",),
    description: str | None = "A package of the end-to-end tests",
    licenses: Sequence[str] = ("Apache-2.0",),
) -> bytes:
    """The bytes of a package tarball, metadata spelt as rebar3's plugin does (tarball.md §6)."""
    metadata = {
        "name": _text(name),
        "version": _text(version),
        "app": _text(app or name),
        "files": _list(files),
        "build_tools": _list(build_tools),
        "licenses": _list(licenses),
        "links": _pairs({"Home": _text("https://example.org/" + name)}),
        "requirements": _pairs(
            {dep: _requirement(dep, each) for dep, each in (requirements or {}).items()}
        ),
    }
    if description is not None:
        metadata["description"] = _text(description)
    config = "".join(f"{{{_text(key)},{term}}}.\n" for key, term in metadata.items()).encode()
    contents = gzip.compress(_tar(files), mtime=0)
    checksum = hashlib.sha256(b"3" + config + contents).hexdigest().upper().encode()
    outer = {
        "VERSION": b"3",
        "CHECKSUM": checksum,
        "metadata.config": config,
        "contents.tar.gz": contents,
    }
    return _tar(outer)


def rebar3_project(
    app: str, version: str, applications: Sequence[str] = (), *, answer: str = "ok"
) -> dict[str, bytes]:
    """A small rebar3 library whose module, named as the application, exports `answer/0`."""
    needed = ",".join(("kernel", "stdlib", *applications))
    app_src = (
        f'{{application,{app},[{{description,"a test"}},{{vsn,"{version}"}},'
        f"{{registered,[]}},{{applications,[{needed}]}},{{env,[]}},{{modules,[]}}]}}.\n"
    )
    module = f"-module({app}).\n-export([answer/0]).\nanswer() -> {answer}.\n"
    return {
        "rebar.config": b"{erl_opts, []}.\n",
        f"src/{app}.app.src": app_src.encode(),
        f"src/{app}.erl": module.encode(),
    }


def mix_project(app: str, version: str, deps: str = "[]") -> dict[str, bytes]:
    """A small mix library whose module, named after the application, defines `answer/0`."""
    module = "".join(part.capitalize() for part in app.split("_"))
    project = (
        f"defmodule {module}.MixProject do\n  use Mix.Project\n"
        f'  def project, do: [app: :{app}, version: "{version}", deps: {deps}]\n'
        "  def application, do: []\nend\n"
    )
    library = f'defmodule {module} do\n  def answer, do: "{app} {version}"\nend\n'
    return {"mix.exs": project.encode(), f"lib/{app}.ex": library.encode()}


def docs_archive(pages: Mapping[str, bytes]) -> bytes:
    """A documentation archive (docs.md §1)."""
    return gzip.compress(_tar(pages), mtime=0)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o644
            entry.mtime = MTIME
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _text(value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{quoted}"{"" if value.isascii() else "/utf8"}>>'


def _list(values: Sequence[str] | Mapping[str, bytes]) -> str:
    return "[" + ",".join(_text(each) for each in values) + "]"


def _pairs(values: Mapping[str, str]) -> str:
    return "[" + ",".join(f"{{{_text(key)},{term}}}" for key, term in values.items()) + "]"


def _requirement(package: str, needed: Requirement) -> str:
    fields = {
        "app": _text(needed.app or package),
        "optional": "true" if needed.optional else "false",
        "requirement": _text(needed.requirement),
    }
    if needed.repository is not None:
        fields["repository"] = _text(needed.repository)
    return _pairs(fields)
