"""What operators see: every metric that the dashboard and the alerts name, health, and no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession

from hexhub.storage.local import LocalStorage
from tests.hexhub import hubs
from tests.hexhub.hubs import TestHub
from tests.hexhub.packages import package

ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"\b(?:hexhub|process)_[a-z_]+\b")


async def scraped(hub: TestHub) -> str:
    answer = await hub.nobody.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.body.decode()


def value(text: str, name: str) -> float:
    """One figure of what was scraped."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.M)
    assert found is not None, name
    return float(found[1])


def expressions() -> list[str]:
    """Every PromQL expression of docs/monitoring."""
    dashboard = json.loads((ROOT / "docs/monitoring/dashboard.json").read_text())
    alerts = yaml.safe_load((ROOT / "docs/monitoring/alerts.yaml").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return found + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


async def test_every_metric_of_the_dashboard_and_the_alerts_is_there(tmp_path: Path) -> None:
    upstream = {"upstream_enabled": "true", "upstream_repo_url": "http://127.0.0.1:9"}
    async with hubs.running(tmp_path, **upstream) as hub:
        await hub.nobody.get("/names")
        await hub.hub.node.snapshot()
        text = await scraped(hub)
    there = set(re.findall(r"^# TYPE (\S+)", text, flags=re.M))
    there |= {f"{name}_bucket" for name in there}
    # Only with HEXHUB_BACKUP_DIR; the schedule's own tests see it.
    there.add("hexhub_backup_last_success_timestamp_seconds")
    named = {name for each in expressions() for name in NAME.findall(each)}
    assert len(named) > 20
    assert named - there == set()


async def test_the_page_names_every_metric_with_its_type(tmp_path: Path) -> None:
    settings = {"upstream_enabled": "true", "upstream_repo_url": "http://127.0.0.1:9"}
    async with hubs.running(tmp_path, **settings) as hub:
        await hub.hub.node.snapshot()
        text = await scraped(hub)
    there = dict(re.findall(r"^# TYPE (hexhub_\S+) (\w+)$", text, flags=re.M))
    there = {name: kind for name, kind in there.items() if not name.endswith("_created")}
    page = (ROOT / "docs/monitoring/README.md").read_text()
    listed = dict(re.findall(r"^\| `(hexhub_\w+)`[^|]*\| (\w+) \| .+ \|$", page, flags=re.M))
    parts = ("_backup_", "_storage_cache_", "_reader")
    only_when_used = {name for name in listed if any(part in name for part in parts)}
    assert {name: kind for name, kind in listed.items() if name not in only_when_used} == there


async def test_a_304_is_hot_though_nobody_here_ever_asked_for_the_body(hub: TestHub) -> None:
    await (await hub.user("mara")).publish(package("decimal"))
    head = await hub.nobody.request("HEAD", "/packages/decimal")
    asked = {"If-None-Match": head.headers["ETag"]}
    async with ClientSession() as session:
        for _ in range(3):
            async with session.get(f"{hub.url}/packages/decimal", headers=asked) as got:
                assert got.status == 304
    assert value(await scraped(hub), "hexhub_http_hot_answers_total") == 2


async def test_a_write_shows_in_the_time_of_the_disk_and_a_hot_answer_in_its_count(
    hub: TestHub,
) -> None:
    before = await scraped(hub)
    mara = await hub.user("mara")
    assert (await mara.publish(package("decimal"))).status == 201
    async with ClientSession() as session:  # a connection that never carried a body
        for _ in range(3):
            async with session.get(f"{hub.url}/packages/decimal") as got:
                assert got.status == 200
                await got.read()
    after = await scraped(hub)

    syncs = "hexhub_log_fsync_duration_seconds_count"
    assert value(after, syncs) >= value(before, syncs) + 2
    assert value(after, 'hexhub_log_fsync_duration_seconds_bucket{le="+Inf"}') == value(
        after, syncs
    )
    assert value(after, "hexhub_http_hot_answers_total") == 2
    assert value(after, "hexhub_http_connections") >= 1
    assert value(after, "hexhub_lmdb_map_bytes") > value(after, "hexhub_lmdb_used_bytes") > 0
    assert value(after, 'hexhub_queue_length{queue="proposals"}') == 0
    assert value(after, "hexhub_log_entries") >= 2


async def test_labels_of_the_expressions_are_those_of_the_metrics(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        await hub.nobody.get("/status")
        text = await scraped(hub)
    labels = set(re.findall(r'(\w+)="', text)) | {"job", "instance", "state", "result"}
    for each in expressions():
        for group in re.findall(r"\{([^}]*)\}", each):
            assert set(re.findall(r"(\w+)\s*=", group)) <= labels, each


async def test_paths_never_become_labels(hub: TestHub) -> None:
    for path in ("/tarballs/secret-name-1.0.0.tar", "/no/such/route", "/api/packages/secret-name"):
        await hub.nobody.get(path)
    text = await scraped(hub)
    assert "secret-name" not in text
    assert 'route="unrouted"' in text


async def test_sums_follow_what_is_published(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        mara = await hub.user("mara")
        body = package("decimal")
        assert (await mara.publish(body)).status == 201
        text = await scraped(hub)
        assert f'hexhub_storage_bytes{{class="own"}} {float(len(body))}' in text
        assert "hexhub_releases 1.0" in text
        assert 'hexhub_raft_role{role="leader"} 1.0' in text
        assert re.search(r"hexhub_tables_bytes [1-9]", text)


async def test_health_says_what_stands_against_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hubs.running(tmp_path) as hub:
        assert (await hub.nobody.get("/health")).value["status"] == "ok"
        assert (await hub.nobody.get("/health/ready")).status == 200

        async def no(self: LocalStorage) -> bool:
            return False

        monkeypatch.setattr(LocalStorage, "writable", no)
        ready = await hub.nobody.get("/health/ready")
        assert (ready.status, ready.value["status"]) == (503, "storage cannot be written")
        whole = await hub.nobody.get("/health")
        assert whole.status == 503
        assert whole.value["parts"]["storage"]["writable"] is False
        assert whole.value["parts"]["cluster"]["ok"] is True
        assert (await hub.nobody.get("/health/read")).status == 200
        assert (await hub.nobody.get("/health/live")).status == 200


async def test_a_request_id_comes_back_and_a_bad_one_is_replaced(hub: TestHub) -> None:
    given = "a" * 32
    same = await hub.nobody.get("/status", X_Request_Id=given)
    assert same.headers["X-Request-Id"] == given
    for bad in ("short", "x" * 500):
        other = await hub.nobody.get("/status", X_Request_Id=bad)
        assert other.headers["X-Request-Id"] not in (bad, given)
