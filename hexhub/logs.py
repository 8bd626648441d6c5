"""Logs: one JSON object a line, or pretty lines on a terminal; to standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict

from hexhub import tracing

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(format: str, level: str) -> structlog.typing.FilteringBoundLogger:
    """Set logging up for the whole process; the logger to use."""
    pretty = format == "pretty" or (format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
    ]
    set_level(level)
    structlog.configure(
        processors=[drop_quiet, *shared, *_rendering(pretty)],
        wrapper_class=Leveled,
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(shared, pretty)
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


class _Level:
    least = LEVELS["info"]


class Leveled(structlog.make_filtering_bound_logger(LEVELS["debug"])):  # type: ignore[misc]
    """A logger whose level may change while the process runs."""

    def is_enabled_for(self, level: int) -> bool:
        """Whether a line of this level comes out."""
        return level >= _Level.least


def set_level(level: str) -> None:
    """The least level that is logged from here on."""
    _Level.least = LEVELS[level]


def drop_quiet(logger: Any, method: str, event: EventDict) -> EventDict:
    """A processor: nothing below the level goes on."""
    if LEVELS.get(method, LEVELS["error"]) < _Level.least:
        raise structlog.DropEvent
    return event


def add_request(logger: Any, method: str, event: EventDict) -> EventDict:
    """A processor: which request this was said for, and its trace where one is recorded."""
    if request_id := tracing.request_id():
        event.setdefault("request_id", request_id)
    if trace_id := tracing.trace_id():
        event.setdefault("trace_id", trace_id)
    return event


def _configure_libraries(shared: list[structlog.typing.Processor], pretty: bool) -> None:
    """What speaks through Python's own logging comes out in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(pretty),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _rendering(pretty: bool) -> list[structlog.typing.Processor]:
    # The variables of a traceback's frames are left out: keys and passwords are among them.
    if pretty:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [tracebacks, structlog.processors.JSONRenderer()]
