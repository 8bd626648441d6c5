"""Logs of a real node: one JSON object a line, and no secret, whatever a client or a setting held."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.end_to_end.node import PASSWORD, RunningNode
from tests.hexhub.packages import package

CANARY = "canary-9f27c1d0"


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Something that takes traces: its address, and path and body of what came."""
    came: list[tuple[str, bytes]] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_lines_are_json_and_hold_no_secret_and_spans_hold_none(tmp_path: Path) -> None:
    with collector() as (endpoint, came):
        _use(tmp_path, endpoint)
    assert {path for path, _ in came} == {"/v1/traces"}
    sent = b"".join(body for _, body in came)
    assert b"POST /api/publish" in sent
    assert b"releases.publish" in sent
    assert CANARY.encode() not in sent


def _use(tmp_path: Path, endpoint: str) -> None:
    secret = f"{CANARY}-{'s' * 40}"
    node = RunningNode(
        tmp_path,
        {
            "LOG_FORMAT": "json",
            "HEXHUB_LOG_LEVEL": "debug",
            "SECRET_KEY_BASE": secret,
            "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
            "HEXHUB_BACKUP_PASSPHRASE": f"{CANARY}-passphrase",
            "HEXHUB_OTEL_ENDPOINT": endpoint,
        },
    )
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        basic = base64.b64encode(f"mara:{CANARY}-wrong".encode()).decode()
        node.request("GET", "/api/users/me", headers={"Authorization": f"Basic {basic}"})
        node.request("GET", "/api/users/me", headers={"Authorization": f"{CANARY}-key"})
        node.request("GET", f"/api/packages?search={CANARY}-query", key=key)
        node.request("POST", "/api/publish", key=key, body=package("decimal"))
        node.request("POST", "/api/publish", key=key, body=f"{CANARY}-body".encode())
        node.request("POST", "/login", body=f"password={CANARY}-form".encode())
        node.request("GET", "/health", headers={"Cookie": f"session={CANARY}-cookie"})
    finally:
        assert node.stop() == 0
    log = node.log_text()
    lines = [line for line in log.splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    requests = [event for event in events if event["event"] == "request"]
    assert len(requests) >= 7
    for event in requests:
        assert {"ts", "level", "request_id", "method", "route", "status", "duration_ms"} <= set(
            event
        )
    assert CANARY not in log
    assert key not in log
    assert PASSWORD not in log
    token = (tmp_path / "data/first-run").read_text().partition("token=")[2].strip()
    assert token
    assert token not in log
