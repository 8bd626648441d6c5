"""The one line that each request gets in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import structlog

    from hexhub.http.hot_path import Hit

INFO = 20


def log_request(
    log: structlog.typing.FilteringBoundLogger,
    *,
    request_id: str,
    method: str,
    route: str,
    path: str,
    status: int,
    seconds: float,
    actor: str | None,
    ip: str,
) -> None:
    """Write it. A query may hold a secret, so it is left out."""
    log.info(
        "request",
        request_id=request_id,
        method=method,
        route=route,
        path=path.partition("?")[0][:512],
        status=status,
        duration_ms=round(seconds * 1000, 2),
        actor=actor,
        ip=ip,
    )


class HotLog:
    """Writes the lines of answers that the hot path sent."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        self._log = log.bind()  # a logger that is not bound yet binds itself anew for each line

    @property
    def wanted(self) -> bool:
        return self._log.is_enabled_for(INFO)

    def write(self, hit: Hit, seconds: float) -> None:
        kept = hit.answer.kept
        log_request(
            self._log,
            request_id=hit.request_id,
            method=kept.method,
            route=kept.route,
            path=hit.asked.target.decode(),
            status=kept.status,
            seconds=seconds,
            actor=kept.actor,
            ip=hit.ip,
        )
