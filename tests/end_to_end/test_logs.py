"""Logs of a real node: one JSON object a line, and no secret, whatever a client or a setting held."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.end_to_end.node import PASSWORD, RunningNode
from tests.hexhub.packages import package

CANARY = "canary-9f27c1d0"


def test_lines_are_json_and_hold_no_secret(tmp_path: Path) -> None:
    secret = f"{CANARY}-{'s' * 40}"
    node = RunningNode(
        tmp_path,
        {
            "LOG_FORMAT": "json",
            "HEXHUB_LOG_LEVEL": "debug",
            "SECRET_KEY_BASE": secret,
            "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
            "HEXHUB_BACKUP_PASSPHRASE": f"{CANARY}-passphrase",
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
