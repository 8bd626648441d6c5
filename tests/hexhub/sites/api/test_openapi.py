"""The description of the API: every route is in it, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hexhub import app
from hexhub.http.metrics import Metrics
from hexhub.sites.api import openapi, testing
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import TestHub

METHODS = ("get", "post", "put", "delete")


def described() -> dict[str, Any]:
    loaded = yaml.safe_load(openapi.text())
    assert isinstance(loaded, dict)
    return loaded


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    # The endpoints of the test mode are no part of the API (http-api.md §9).
    of_test_mode = {(route.method, f"/api{route.pattern}") for route in testing.routes.under("")}
    served = {
        (route.method, route.pattern)
        for route in app.router(Metrics()).routes
        if route.pattern == "/api" or route.pattern.startswith("/api/")
    } - of_test_mode
    told = {
        (method.upper(), ("/api" + path).rstrip("/"))
        for path, operations in described()["paths"].items()
        for method in operations
        if method in METHODS
    }

    assert served - told == set(), "not described"
    assert told - served == set(), "described, but not there"


def test_every_reference_leads_somewhere() -> None:
    document = described()

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return found + [ref for part in value.values() for ref in references(part)]
        return (
            [ref for part in value for ref in references(part)] if isinstance(value, list) else []
        )

    for reference in references(document):
        part: Any = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


async def test_it_is_served_to_whoever_asks(hub: TestHub) -> None:
    answer = await hub.nobody.get("/api/openapi.yaml", Accept="text/html")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/yaml; charset=utf-8"
    assert yaml.safe_load(answer.body)["openapi"] == "3.1.0"


def test_the_checkout_shows_it_at_its_root() -> None:
    root = Path(__file__).parents[4] / openapi.FILE
    assert root.read_text("utf-8") == openapi.text()


SHORT = ("--max-examples", "2", "--phases", "examples,fuzzing", "--no-shrink")
"""Two requests or more to each operation: some five seconds."""
LONG = ("--max-examples", "2", "--phases", "examples,coverage,fuzzing")
"""Also each boundary of each parameter: half a minute on loaded cores."""


@pytest.mark.parametrize(
    "amount",
    [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.long)],
)
async def test_a_node_answers_as_described_whatever_it_is_asked(
    tmp_path: Path, amount: tuple[str, ...]
) -> None:
    async with hubs.running(tmp_path, registration="open", rate_limits="false") as hub:
        mara = await hub.user("mara")
        await hub.organization("forest", mara)
        await mara.publish(tarball("acorn", "1.0.0", {"src/a.erl": b"-module(a).\n"}))
        checks = (
            "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{hub.url}/api/openapi.yaml"),
            *("--url", f"{hub.url}/api", "--checks", checks, *amount),
            *("--seed", "1", "--no-color"),
            *("-H", f"Authorization: {mara.authorization}"),
            *("--exclude-path-regex", "/cluster/|/keys$", "--suppress-health-check", "all"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()[-6000:]
        assert b"Tested: 0" not in output

        assert hub.faults == []
