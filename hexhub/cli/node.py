"""Talk to a running node: find its data directory, ask over its socket, print what it says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from hexhub import control_socket, running
from hexhub.config import DEFAULT, Config, find_checkout, load

TIMEOUT_S = 30.0
EXIT_CODES = {401: 4, 403: 4, 404: 3, 409: 5, 422: 5, 503: 6, 504: 6}


class Failed(Exception):
    """A command that did not do what was asked; the text is for the operator."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass
class Options:
    data_dir: str | None
    config_file: str | None

    @cached_property
    def config(self) -> Config:
        """The settings, from flags, environment and file."""
        return self.read_config()

    def read_config(self) -> Config:
        """The settings, read anew."""
        flags = {"data_dir": self.data_dir} if self.data_dir else {}
        file = Path(self.config_file) if self.config_file else None
        return load(os.environ, checkout=find_checkout(), file=file, flags=flags)

    @cached_property
    def node_dir(self) -> Path:
        """The data directory of the node to talk to.

        The flag or the environment, or NODE_NAME, else the only node that runs from this checkout.
        """
        sources = self.config.sources
        told = any(sources.get(name, DEFAULT) != DEFAULT for name in ("data_dir", "node_name"))
        if told:
            return self.config.data_dir
        nodes = running.nodes(self.config.checkout)
        if len(nodes) == 1:
            return Path(nodes[0].data_dir)
        if not nodes:
            return self.config.data_dir
        names = ", ".join(f"{node.name} ({node.data_dir})" for node in nodes)
        raise Failed(f"several nodes run here: set NODE_NAME or DATA_DIR to one of {names}", 2)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Ask the node; what its JSON says. Raises Failed."""
        if query:
            path += "?" + urlencode(query)
        with self._answering():
            status, value = control_socket.ask(
                self.node_dir, method, path, body, timeout_s=timeout_s
            )
        if status >= 400:
            raise Failed(_problem(value, status), EXIT_CODES.get(status, 1))
        return value

    def exchange(
        self, method: str, path: str, query: Mapping[str, str], payload: bytes | None = None
    ) -> bytes:
        """Ask the node with bytes for bytes. Raises Failed."""
        with self._answering():
            status, data = control_socket.exchange(
                self.node_dir, method, f"{path}?{urlencode(query)}", payload
            )
        if status >= 400:
            raise Failed(_problem(json.loads(data), status), EXIT_CODES.get(status, 1))
        return data

    @contextmanager
    def streamed(self, path: str, body: Mapping[str, object]) -> Iterator[Iterator[bytes]]:
        """Ask the node; the answer's bytes as they come. Raises Failed."""
        with (
            self._answering(),
            control_socket.streamed(self.node_dir, path, body) as (status, pieces),
        ):
            if status >= 400:
                value = json.loads(b"".join(pieces))
                raise Failed(_problem(value, status), EXIT_CODES.get(status, 1))
            yield pieces

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Failed(
                f"no node answers in {self.node_dir} ({error.strerror or error}); "
                "start one with ./scripts/cluster.sh start",
                6,
            ) from None


def segment(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


def _problem(value: Any, status: int) -> str:
    if not isinstance(value, dict):
        return f"the node answered {status}"
    errors = value.get("errors")
    if isinstance(errors, str):
        return errors
    if isinstance(errors, dict):
        return "; ".join(f"{field}: {_flat(text)}" for field, text in errors.items())
    message = str(value.get("message"))
    return "not found" if status == 404 and message == "Page not found" else message


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{field} {_flat(text)}" for field, text in value.items())
    return str(value)


def show(value: object, as_json: bool, text: str) -> None:
    """Print JSON when asked for it, else the text."""
    click.echo(json.dumps(value, indent=2) if as_json else text)


def table(rows: Sequence[tuple[str, ...]], titles: tuple[str, ...]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [titles, *rows]
    ]
    return "\n".join(lines)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
