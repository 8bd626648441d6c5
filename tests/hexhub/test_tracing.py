"""Request ids go where the work goes; spans tell its parts when somebody records them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hexhub import logs, tracing
from hexhub.otel import Spans
from tests.hexhub.hubs import TestHub
from tests.hexhub.mirrors import Pair
from tests.hexhub.packages import package
from tests.hexhub.storage.several import several

ID = "0123456789abcdef0123456789abcdef"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """What is recorded, as long as the test runs."""
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter), node="hub1")
    tracing.record_with(spans)
    try:
        yield exporter
    finally:
        tracing.record_with(None)
        spans.close()


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    found = [span for span in exporter.get_finished_spans() if span.name == name]
    assert len(found) == 1, [span.name for span in exporter.get_finished_spans()]
    return found[0]


def inside(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == parent.context.span_id


async def test_a_publish_is_a_span_of_its_caller_with_the_transaction_inside(
    hub: TestHub, exported: InMemorySpanExporter
) -> None:
    mara = await hub.user("mara")
    exported.clear()
    answer = await mara.post(
        "/api/publish",
        data=package("decimal"),
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": ID},
    )
    assert answer.status == 201
    request = named(exported, "POST /api/publish")
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/api/publish",
        "http.response.status_code": 201,
    }
    assert inside(named(exported, "releases.publish"), request)


async def test_a_trace_that_is_no_trace_begins_a_new_one(
    hub: TestHub, exported: InMemorySpanExporter
) -> None:
    assert (await hub.nobody.get("/status", traceparent="00-zz-1")).status == 200
    request = named(exported, "GET /status")
    assert request.parent is None


async def test_a_fetch_from_the_upstream_goes_on_with_trace_and_id(
    pair: Pair, exported: InMemorySpanExporter
) -> None:
    await pair.publish("moss", "1.0.0")
    exported.clear()
    answer = await pair.get("/packages/moss", X_Request_Id=ID)
    assert answer.status == 200
    request = exported.get_finished_spans()[-1]  # the upstream's own came before
    assert request.name == "GET /packages/{name}"
    fetch = named(exported, "upstream repo")
    assert inside(fetch, request)
    sent = {name.lower(): value for name, value in pair.between.headers[-1].items()}
    assert sent["x-request-id"] == ID
    trace_id, span_id = request.context.trace_id, fetch.context.span_id
    assert sent["traceparent"].startswith(f"00-{trace_id:032x}-{span_id:016x}-")


async def test_an_id_made_of_words_stays_in_the_house(pair: Pair) -> None:
    await pair.publish("fern", "1.0.0")
    words = "build of our secret product"
    answer = await pair.get("/packages/fern", X_Request_Id=words)
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, words)
    assert pair.between.total
    assert all("x-request-id" not in map(str.lower, sent) for sent in pair.between.headers)


async def test_a_failed_request_is_a_failed_span_without_its_words(
    hub: TestHub, exported: InMemorySpanExporter
) -> None:
    with pytest.raises(RuntimeError), tracing.span("work"):
        raise RuntimeError("a secret in an error")
    span = named(exported, "work")
    assert (span.status.is_ok, span.status.description) == (False, "RuntimeError")
    assert not span.events


def test_without_the_extra_a_node_says_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from hexhub.errors import Refused\n"
        "try:\n    import hexhub.otel\n"
        "except Refused as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'hexhub[otel]'" in done.stdout


async def test_nothing_is_recorded_when_nobody_asked(hub: TestHub) -> None:
    with tracing.span("work") as span:
        assert span is None
        assert tracing.carried() == {}
        assert tracing.trace_id() == ""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is logged, as `logs` would print it."""
    found: list[dict[str, Any]] = []

    def keep(logger: Any, method: str, event: Any) -> Any:
        found.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[logs.add_request, keep], cache_logger_on_first_use=False)
    yield found
    structlog.configure(**before)


async def test_what_a_peer_does_for_a_request_is_logged_there_with_its_id(
    tmp_path: Path, lines: list[dict[str, Any]], exported: InMemorySpanExporter
) -> None:
    async with several(tmp_path, 2) as (one, two):
        spooled = one.spooled(b"content")
        with tracing.request(ID, {}):
            await one.storage.put(spooled)
        two.path(spooled.checksum).unlink()
        with tracing.request("f" * 32, {}):
            assert await two.read(spooled.checksum) == b"content"
        two.path(spooled.checksum).unlink()
        await two.storage.fetch(spooled.checksum)  # of its own accord
    told = [(line["event"], line["peer"], line.get("request_id")) for line in lines]
    assert told == [("a peer gives", "n1", ID), ("a peer asks", "n2", "f" * 32)]
    spans = exported.get_finished_spans()
    at_peer = [span for span in spans if span.name == "object for a peer"]
    requests = {span.context.span_id for span in spans if span.name == "request"}
    assert [span.parent is not None and span.parent.span_id in requests for span in at_peer] == [
        True,
        True,
        False,
    ]
