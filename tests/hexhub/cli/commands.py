"""The command line in this process, against a hub in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp.web import ServerRunner, UnixSite

from hexhub import cli, control_socket
from hexhub.http.dispatch import Dispatcher
from hexhub.http.metrics import Metrics
from hexhub.http.routes import Router
from hexhub.http.server import HttpServer
from hexhub.sites import operator
from tests.hexhub import hubs
from tests.hexhub.hubs import TestHub, quiet_log


@dataclass(frozen=True)
class Output:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Node:
    """A hub that listens to its operator."""

    def __init__(self, hub: TestHub, data_dir: Path) -> None:
        self.hub = hub
        self.data_dir = data_dir

    async def __call__(self, *arguments: str, stdin: str = "", **environ: str) -> Output:
        """Run `hexhub ARGUMENTS` with this environment and nothing else."""
        known = {"DATA_DIR": str(self.data_dir), "UPSTREAM_ENABLED": "false"} | environ
        return await asyncio.to_thread(run, *arguments, stdin=stdin, environ=known)


def run(*arguments: str, stdin: str = "", environ: dict[str, str]) -> Output:
    """Run the command's `main` here, and catch what it prints and how it exits."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {"PATH": os.environ["PATH"]} | environ, clear=True),
        patch.object(sys, "argv", ["hexhub", *arguments]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        else:
            code = 0
    return Output(code, out.getvalue(), err.getvalue())


@contextlib.asynccontextmanager
async def operated(folder: Path, **settings: Any) -> AsyncIterator[Node]:
    """A hub with its operator's socket, as `serve` opens it."""
    async with hubs.running(folder, **settings) as hub:
        data_dir = Path(settings.get("data_dir", folder / "data"))
        log = quiet_log(hub.faults)
        server = HttpServer(Dispatcher(hub.hub, Router(operator.routes()), Metrics(), log))
        runner = ServerRunner(server)
        await runner.setup()
        with control_socket.short_path(data_dir, fresh=True) as path:
            await UnixSite(runner, path).start()
        try:
            yield Node(hub, data_dir)
        finally:
            await runner.cleanup()
            control_socket.remove(data_dir)
        assert not hub.faults, hub.faults[0]
