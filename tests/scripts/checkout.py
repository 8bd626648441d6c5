"""A copy of the checkout with a stand-in for Python, so that no test installs anything.

The stand-in is the real Python except that `-m venv` makes a directory with the stand-in in it,
`-m pip install` notes that it was called and puts a stand-in for `hexhub` there, and `-m pytest`
prints its arguments. The stand-in for `hexhub serve` announces itself, answers health checks, says
on its socket that it has the members FAKE_MEMBERS, and notes in `asked` what it is told there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

SOURCE = Path(__file__).resolve().parents[2]
TOOLS = (
    "bash",
    "cat",
    "cp",
    "dirname",
    "env",
    "grep",
    "head",
    "id",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "tail",
)

PYTHON = f"""#!/bin/bash
case "$*" in
  *"import sys, pip"*) exit 0 ;;
  *"import venv"*) exit "${{NO_VENV:-0}}" ;;
  "-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  "-m pip install "*)
    echo "$*" >>pip-calls
    sleep 0.2
    [ -z "${{PIP_SAYS:-}}" ] || {{ echo "$PIP_SAYS"; exit 1; }}
    cp fake-hexhub .venv/bin/hexhub
    ;;
  "-m pytest"*) echo "pytest ran:$*"; exit "${{PYTEST_EXIT:-0}}" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""

HEXHUB = f"""#!{sys.executable}
import json, os, signal, socketserver, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
root = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root))
from hexhub.config import load
from hexhub.running import Running, announce

assert sys.argv[1:] == ["serve"]
if "FAKE_FAILS" in os.environ:
    sys.exit("the data do not fit the secret")
config = load(os.environ, checkout=root)

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        sick = "FAKE_SICK" in os.environ and self.path == "/health/ready"
        self.send_response(503 if sick else 200)
        self.end_headers()
    def log_message(self, *_):
        print('{{"event": "request"}}')

members = [dict(name=name) for name in os.environ.get("FAKE_MEMBERS", "").split()]

class Control(Health):
    def do_GET(self):
        self.say(200, dict(node=config.node_name, role="follower", quorum=True, members=members))
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with (config.data_dir / "asked").open("a") as file:
            print(self.path, asked, file=file)
        refused = "FAKE_REFUSES" in os.environ
        if not refused and self.path.endswith("/join"):
            members.extend(dict(name=name) for name in ("a", config.node_name))
        self.say(409 if refused else 200, dict(message="it is not blank") if refused else dict())
    def say(self, status, value):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

server = HTTPServer((config.host, config.port), Health)
print("HexHub greets", flush=True)
config.data_dir.mkdir(parents=True, exist_ok=True)
(config.data_dir / "first-run").write_text("http://link\\n")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until it can withdraw
os.chdir(config.data_dir)
Path("admin.sock").unlink(missing_ok=True)
control = socketserver.UnixStreamServer("admin.sock", Control)
threading.Thread(target=control.serve_forever, daemon=True).start()
announcement = announce(root, Running(
    config.node_name, os.getpid(), config.host, config.port, config.url, str(config.data_dir)))

def stop(*_):
    announcement.withdraw()
    print("stopped by SIGTERM", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
server.serve_forever()
"""


class Checkout:
    """The copy in `root`, and what is on PATH for its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root / "hub"
        self.bin = root / "bin"
        shutil.copytree(SOURCE / "scripts", self.root / "scripts")
        (self.root / "hexhub" / "formats").mkdir(parents=True)
        for name in (
            "__init__.py",
            "control_socket.py",
            "errors.py",
            "formats/__init__.py",
            "formats/rate_limits.py",
            "running.py",
        ):
            shutil.copy(SOURCE / "hexhub" / name, self.root / "hexhub" / name)
        shutil.copytree(SOURCE / "hexhub" / "config", self.root / "hexhub" / "config")
        shutil.copy(SOURCE / "pyproject.toml", self.root)
        _script(self.root / "fake-hexhub", HEXHUB)
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, f"{tool} is needed by the scripts"
            (self.bin / tool).symlink_to(found)
        self.environ = {"PATH": str(self.bin), "PORT": str(free_port())}

    def put_on_path(self, name: str, script: str = PYTHON) -> None:
        """Make `name` a command that runs `script`."""
        _script(self.bin / name, script)

    def start(self, script: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Run a script of the copy without waiting for it."""
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.root.parent,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run a script of the copy: exit code, standard output, standard error."""
        with self.start(script, *arguments, **environ) as process:
            output, errors = process.communicate(timeout=60)
            return process.returncode, output, errors

    def pip_calls(self) -> list[str]:
        """The command lines with which pip was called so far."""
        calls = self.root / "pip-calls"
        return calls.read_text().splitlines() if calls.exists() else []


def _script(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)
