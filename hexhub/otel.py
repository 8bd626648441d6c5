"""Spans by OpenTelemetry, sent by OTLP over HTTP; imported only where a collector is named.

Needs the extra `otel`. Exporting runs on a thread of its own with a bounded queue: a collector
that is away costs nothing but its spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hexhub import __version__, tracing
from hexhub.errors import Refused

try:
    from opentelemetry import trace
    from opentelemetry.propagate import extract, inject
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError:
    raise Refused("HEXHUB_OTEL_ENDPOINT needs the extra otel: pip install 'hexhub[otel]'") from None

KINDS = {
    tracing.SERVER: SpanKind.SERVER,
    tracing.CLIENT: SpanKind.CLIENT,
    tracing.INTERNAL: SpanKind.INTERNAL,
}


class Spans:
    """Records spans with a provider of its own, so that nothing of the process is changed."""

    def __init__(self, processor: SpanProcessor, *, node: str, share: float = 1.0) -> None:
        """`share` of traces that begin here are kept; for others whoever began them decides."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create(
                {
                    "service.name": "hexhub",
                    "service.version": __version__,
                    "service.instance.id": node,
                }
            ),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hexhub", __version__)

    @contextmanager
    def span(
        self, name: str, kind: str, carried: Mapping[str, str], attributes: Mapping[str, str | int]
    ) -> Iterator[None]:
        """A span until the block ends; what ends it by an error is a failed one."""
        with self._tracer.start_as_current_span(
            name,
            context=extract(dict(carried)) if carried else None,
            kind=KINDS[kind],
            attributes=dict(attributes),
            # The text of an error may hold what no trace should.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def note(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Another name for the span that is open, and more about it."""
        span = trace.get_current_span()
        span.update_name(name)
        span.set_attributes(dict(attributes))
        if int(attributes.get("http.response.status_code", 0)) >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def carried(self) -> dict[str, str]:
        """The open span as `traceparent`."""
        found: dict[str, str] = {}
        inject(found)
        return {key: found[key] for key in (tracing.TRACE_HEADER,) if key in found}

    def trace_id(self) -> str:
        """The trace of the open span in hex; empty without one."""
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else ""

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._provider.shutdown()


def start(endpoint: str, *, node: str, share: float) -> Callable[[], None]:
    """Record spans and send them to a collector's base URL; what ends that again."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=5)
    spans = Spans(BatchSpanProcessor(exporter), node=node, share=share)
    tracing.record_with(spans)

    def stop() -> None:
        tracing.record_with(None)
        spans.close()

    return stop
