"""What cluster.sh does with nodes once there is a Python: start in the background, stop, show.

Exit codes: 0 done, 1 failed or not healthy, 2 usage, 3 (status) no node runs, 130 interrupted.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from hexhub.config import Config, load
from hexhub.errors import Refused
from hexhub.running import Running, Watch, nodes, watch

ROOT = Path(__file__).resolve().parent.parent

START_S = 60.0
STOP_S = 35.0
POLL_S = 0.02
PROBE_S = 5.0
SHOWN_LINES = 40


def main(arguments: list[str]) -> int:
    """Run one command; errors are one line on standard error."""
    try:
        match arguments:
            case ["start"]:
                return start(load(os.environ, checkout=ROOT))
            case ["stop"]:
                return stop([load(os.environ, checkout=ROOT).node_name])
            case ["stop", "--all"]:
                return stop([node.name for node in nodes(ROOT)])
            case ["status"]:
                return status(as_json=False)
            case ["status", "--json"]:
                return status(as_json=True)
            case _:
                return _error(
                    "start, stop [--all] or status [--json]; call it by cluster.sh", code=2
                )
    except Refused as refused:
        return _error(str(refused))
    except OSError as error:
        return _error(str(error))


def _error(words: str, code: int = 1) -> int:
    print(f"error: {words}", file=sys.stderr)
    return code


# start


def start(config: Config) -> int:
    """Run `hexhub serve` in the background and return when it answers."""
    seen = watch(ROOT, config.node_name)
    if seen is not None:
        with seen:
            return _already(seen.running, config)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = config.data_dir / "hexhub.log"
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            [ROOT / ".venv" / "bin" / "hexhub", "serve"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _pid_file(config.data_dir).write_text(f"{process.pid}\n")
    try:
        running = _wait_until_it_answers(config.node_name, process)
    except KeyboardInterrupt:
        process.terminate()
        return 130
    if running is None:
        return _not_started(config, process, _since(log, before))
    _welcome(config, running, _since(log, before))
    return 0


def _already(running: Running, config: Config) -> int:
    here = f"{running.name} already runs at {running.url} (pid {running.pid})"
    if (running.port, Path(running.data_dir)) != (config.port, config.data_dir):
        return _error(f"{here}: stop it first, or set another NODE_NAME")
    if _answer(running, "/health/live") != 200:
        return _error(f"{here} and does not answer")
    print(here)
    return 0


def _wait_until_it_answers(name: str, process: subprocess.Popen[bytes]) -> Running | None:
    """The node, or None when its process ended or START_S have passed."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        seen = watch(ROOT, name)
        if seen is not None:
            with seen:
                running = seen.running
            # Another process may have the port or the name: only ours counts.
            if running.pid == process.pid and _answer(running, "/health/live") == 200:
                return running
        time.sleep(POLL_S)
    return None


def _not_started(config: Config, process: subprocess.Popen[bytes], lines: list[str]) -> int:
    if process.poll() is None:
        process.terminate()
        why = f"does not answer after {START_S:.0f} s"
    else:
        why = f"ended with exit code {process.returncode}"
    _pid_file(config.data_dir).unlink(missing_ok=True)
    for line in lines[-SHOWN_LINES:]:
        print(line, file=sys.stderr)
    return _error(f"{config.node_name} {why}; its log is {config.data_dir / 'hexhub.log'}")


def _welcome(config: Config, running: Running, lines: list[str]) -> None:
    """What the node had to say to a person, and the link that it never writes to a log."""
    words = [line for line in lines if not line.startswith("{")]
    for line in words[:SHOWN_LINES]:
        print(line)
    link = config.data_dir / "first-run"
    if link.is_file():
        print(f"First administrator: {link.read_text().strip()}")
    log = config.data_dir / "hexhub.log"
    print(f"{running.name} runs at {running.url} (pid {running.pid}, log {log})")


def _since(log: Path, offset: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read(1 << 20).decode(errors="replace").splitlines()


def _pid_file(data_dir: Path) -> Path:
    return data_dir / "hexhub.pid"


# stop


def stop(names: list[str]) -> int:
    """Ask the nodes of these names to end, all at once, and wait until their processes have."""
    if not names:
        print("no node runs from this checkout")
    watches = [(name, watch(ROOT, name)) for name in names]
    for _, seen in watches:
        if seen is not None:
            _terminate(seen.running.pid)
    deadline = time.monotonic() + STOP_S
    return max((_ended(name, seen, deadline) for name, seen in watches), default=0)


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it ended meanwhile


def _ended(name: str, seen: Watch | None, deadline: float) -> int:
    if seen is None:
        print(f"{name} is not running")
        return 0
    with seen:
        pid = seen.running.pid
        while not seen.ended():
            if time.monotonic() > deadline:
                return _error(f"{name} (pid {pid}) has not ended after {STOP_S:.0f} s")
            time.sleep(POLL_S)
        _pid_file(Path(seen.running.data_dir)).unlink(missing_ok=True)
        print(f"{name} stopped")
        return 0


# status


def status(*, as_json: bool) -> int:
    """Show every node of this checkout with its health."""
    found = [(node, _health(node)) for node in nodes(ROOT)]
    if as_json:
        print(json.dumps([asdict(node) | {"health": health} for node, health in found], indent=2))
    elif not found:
        print("no node runs from this checkout")
    else:
        for node, health in found:
            print(f"{node.name:<16} {health:<14} {node.url}  pid {node.pid}  {node.data_dir}")
    if not found:
        return 3
    return 0 if all(health == "healthy" for _, health in found) else 1


def _health(node: Running) -> str:
    """`healthy`, `not ready` (it lives, but cannot do its work now) or `no answer`."""
    ready = _answer(node, "/health/ready")
    if ready is None:
        return "no answer"
    return "healthy" if ready == 200 else "not ready"


def _answer(node: Running, path: str) -> int | None:
    """The status that the node gives for `path`; None when it gives none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(node.host, node.host)
    connection = http.client.HTTPConnection(host, node.port, timeout=PROBE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
