"""What cluster.sh does with nodes once there is a Python: start in the background, stop, show, join.

Exit codes: 0 done, 1 failed or not healthy, 2 usage, 3 (status) no node runs, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hexhub import control_socket
from hexhub.config import DEFAULT, Config, load
from hexhub.errors import Refused
from hexhub.running import Running, Watch, nodes, watch

ROOT = Path(__file__).resolve().parent.parent

START_S = 60.0
STOP_S = 35.0
POLL_S = 0.02
PROBE_S = 5.0
JOIN_S = 300.0
"""A node that joins first copies what the cluster holds."""
SHOWN_LINES = 40


def main(arguments: list[str]) -> int:
    """Run one command; errors are one line on standard error."""
    try:
        match arguments:
            case ["start"]:
                return start(load(os.environ, checkout=ROOT))
            case ["stop"]:
                return stop_named(load(os.environ, checkout=ROOT))
            case ["stop", "--all"]:
                return stop(nodes(ROOT))
            case ["status"]:
                return status(as_json=False)
            case ["status", "--json"]:
                return status(as_json=True)
            case ["join", target]:
                return join(load(os.environ, checkout=ROOT), target, discard=None)
            case ["join", target, "--force", "--discard", name]:
                return join(load(os.environ, checkout=ROOT), target, discard=name)
            case ["leave"]:
                return leave(load(os.environ, checkout=ROOT))
            case _:
                return _error("call it by cluster.sh, and see cluster.sh help", code=2)
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
    for node in nodes(ROOT):
        if Path(node.data_dir) == config.data_dir:
            return _already(node, config)
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
        running = _wait_until_it_answers(process)
    except KeyboardInterrupt:
        process.terminate()
        return 130
    if running is None:
        return _not_started(config, process, _since(log, before))
    _welcome(config, running, _since(log, before))
    return 0


def _already(running: Running, config: Config) -> int:
    here = f"{running.name} already runs at {running.url} (pid {running.pid})"
    if running.port != config.port:
        return _error(f"{here}: stop it first, or set another NODE_NAME")
    if _answer(running, "/health/live") != 200:
        return _error(f"{here} and does not answer")
    print(here)
    return 0


def _wait_until_it_answers(process: subprocess.Popen[bytes]) -> Running | None:
    """The node, or None when its process ended or START_S have passed."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        for running in nodes(ROOT):
            # Another process may have the port: only ours counts.
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


def stop_named(config: Config) -> int:
    """Stop the node of NODE_NAME; DATA_DIR tells which one, where several have that name."""
    named = [node for node in nodes(ROOT) if node.name == config.node_name]
    if not named:
        print(f"{config.node_name} is not running")
        return 0
    if len(named) > 1:
        here = [node for node in named if Path(node.data_dir) == config.data_dir]
        if not here:
            places = ", ".join(node.data_dir for node in named)
            return _error(f"several nodes are called {config.node_name}: set DATA_DIR ({places})")
        named = here
    return stop(named)


def stop(running: list[Running]) -> int:
    """Ask these nodes to end, all at once, and wait until their processes have."""
    if not running:
        print("no node runs from this checkout")
    watches = [seen for node in running if (seen := watch(ROOT, node)) is not None]
    for seen in watches:
        # It cannot be a stranger's: the process of that id holds the lock of the node's file.
        with contextlib.suppress(ProcessLookupError):
            os.kill(seen.running.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    return max((_ended(seen, deadline) for seen in watches), default=0)


def _ended(seen: Watch, deadline: float) -> int:
    with seen:
        node = seen.running
        while not seen.ended():
            if time.monotonic() > deadline:
                return _error(f"{node.name} (pid {node.pid}) has not ended after {STOP_S:.0f} s")
            time.sleep(POLL_S)
        _pid_file(Path(node.data_dir)).unlink(missing_ok=True)
        print(f"{node.name} stopped")
        return 0


# status


def status(*, as_json: bool) -> int:
    """Show every node of this checkout with its health."""
    found = [(node, _health(node), _cluster(node)) for node in nodes(ROOT)]
    if as_json:
        shown = [cluster | asdict(node) | {"health": health} for node, health, cluster in found]
        print(json.dumps(shown, indent=2))
    elif not found:
        print("no node runs from this checkout")
    else:
        for node, health, cluster in found:
            print(
                f"{node.name:<16} {health:<14} {_part(cluster):<24} {node.url}  "
                f"pid {node.pid}  {node.data_dir}"
            )
    if not found:
        return 3
    return 0 if all(health == "healthy" for _, health, _ in found) else 1


def _part(cluster: dict[str, Any]) -> str:
    """A node's part in its cluster, in a few words."""
    members = cluster.get("members")
    if not members:
        return "-"
    return f"{cluster.get('role')} of {len(members)} member{'s' if len(members) > 1 else ''}"


def _cluster(node: Running) -> dict[str, Any]:
    """What the node says of its cluster, as `/api/cluster/status`; nothing when it does not."""
    try:
        _, value = control_socket.ask(Path(node.data_dir), "GET", "/cluster", timeout_s=PROBE_S)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and "members" in value else {}


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


# join, leave


def join(config: Config, target: str, *, discard: str | None) -> int:
    """Have nodes of this checkout join the cluster of `target`, one by one.

    The node of NODE_NAME or PORT; with neither, every one that is not yet a member there.
    """
    chosen, told = _chosen(config)
    if not chosen:
        return _error("no such node runs from this checkout" if told else NOBODY)
    wanted = target.partition("@")[0]
    if not told:
        chosen = [node for node in chosen if node.name != wanted]
    worst = 0
    for node in chosen:
        if wanted in _members(node):
            print(f"{node.name} is a member of the cluster of {wanted}")
        else:
            body = {"target": target, "discard": discard}
            code = _do(node, "/cluster/join", body) or _until_counted(node)
            if code == 0:
                print(f"{node.name} joined {wanted}")
            worst = max(worst, code)
    return worst


def _until_counted(node: Running) -> int:
    """Wait until the node has opened again with the cluster's data, and counts as a member."""
    deadline = time.monotonic() + JOIN_S
    while time.monotonic() < deadline:
        state = _cluster(node)
        if state.get("quorum") and state["role"] != "joining" and len(state["members"]) > 1:
            return 0
        time.sleep(POLL_S)
    return _error(f"{node.name} has the data, but is not counted as a member yet")


def leave(config: Config) -> int:
    """Have the node of NODE_NAME or PORT leave its cluster."""
    chosen, told = _chosen(config)
    if len(chosen) > 1:
        return _error("several nodes run here: say which by NODE_NAME", code=2)
    if not chosen:
        return _error("no such node runs from this checkout" if told else NOBODY)
    (node,) = chosen
    code = _do(node, "/cluster/leave", {})
    if code == 0:
        print(f"{node.name} left its cluster")
    return code


def _said(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    errors = value.get("errors")
    if isinstance(errors, dict):
        return "; ".join(f"{field} {text}" for field, text in errors.items())
    return str(value.get("message", ""))


NOBODY = "no node runs from this checkout: start one first"


def _chosen(config: Config) -> tuple[list[Running], bool]:
    """The nodes that the environment names, and whether it names any: else all of this checkout."""
    named = {name for name, source in config.sources.items() if source != DEFAULT}
    wanted = [
        node
        for node in nodes(ROOT)
        if ("node_name" not in named or node.name == config.node_name)
        and ("port" not in named or node.port == config.port)
        and ("data_dir" not in named or Path(node.data_dir) == config.data_dir)
    ]
    return wanted, bool(named & {"node_name", "port", "data_dir"})


def _members(node: Running) -> list[str]:
    """The names of the members of a node's cluster, other than itself."""
    members = _cluster(node).get("members", [])
    return [member["name"] for member in members if member["name"] != node.name]


def _do(node: Running, path: str, body: dict[str, Any]) -> int:
    """Ask a node to do something; say what came of it."""
    try:
        code, value = control_socket.ask(Path(node.data_dir), "POST", path, body, timeout_s=JOIN_S)
    except (OSError, ValueError) as error:
        return _error(f"{node.name} does not answer: {error}")
    if code >= 400:
        return _error(f"{node.name}: {_said(value) or code}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
