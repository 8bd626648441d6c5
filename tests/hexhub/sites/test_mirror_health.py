"""How a node tells of its upstream."""

from __future__ import annotations

import re

from hexhub.hub import client_lines
from tests.hexhub.hubs import TestHub
from tests.hexhub.mirrors import Pair


async def test_health_reports_the_upstream_and_stays_well_without_it(pair: Pair) -> None:
    well = await pair.get("/health")
    assert well.value["parts"]["upstream"] == {
        "ok": True,
        "circuit": "closed",
        "offline": False,
        "name_clashes": 0,
    }
    pair.between.fault = "503"
    for number in range(6):
        await pair.get(f"/packages/p{number}")
    answer = await pair.get("/health")
    assert (answer.status, answer.value["status"]) == (200, "ok")
    assert answer.value["parts"]["upstream"]["circuit"] == "open"
    assert (await pair.get("/health/ready")).status == 200


async def test_metrics_count_answers_requests_and_refusals(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    await pair.get("/packages/pine")
    await pair.get("/packages/nothing_at_all")
    text = (await pair.get("/metrics")).body.decode()
    for line in (
        'hexhub_mirror_answers_total{state="hit"} 1.0',
        'hexhub_mirror_answers_total{state="miss"} 1.0',
        'hexhub_mirror_upstream_requests_total{result="ok"} 1.0',
        'hexhub_mirror_upstream_requests_total{result="missing"} 1.0',
        'hexhub_mirror_circuit{state="closed"} 1.0',
    ):
        assert line in text.splitlines()


async def test_the_lines_for_clients_name_the_mirror_where_there_is_one(pair: Pair) -> None:
    lines = [line.text for line in client_lines(pair.hub.hub)]
    assert f"HEX_MIRROR={pair.hub.hub.url} mix deps.get" in lines


async def test_the_set_up_page_has_the_lines_of_both_faces(pair: Pair) -> None:
    url = pair.hub.hub.url
    page = (await pair.get("/setup", accept="text/html")).body.decode()
    page = re.sub("<[^>]+>", "", page)
    assert f"export HEX_MIRROR={url} HEX_CDN={url} HEX_BUILDS_URL={url}" in page
    assert f"mix hex.repo set hexpm --url {url}/repo --public-key hub.pem" in page


async def test_a_hub_without_an_upstream_does_not_speak_of_one(hub: TestHub) -> None:
    health = await hub.nobody.get("/health")
    assert "upstream" not in health.value["parts"]
    assert b"HEX_MIRROR" not in (await hub.nobody.get("/setup", accept="text/html")).body
    assert "hexhub_mirror" not in (await hub.nobody.get("/metrics")).body.decode()
    assert not [line for line in client_lines(hub.hub) if "MIRROR" in line.text]
