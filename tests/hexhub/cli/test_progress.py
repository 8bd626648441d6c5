"""A long command shows a bar on a terminal, a line now and then elsewhere, and no more than that."""

from __future__ import annotations

import io

from hexhub.cli.progress import LINE_EVERY_S, Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_sees_a_bar_that_goes_away() -> None:
    screen, clock = Screen(), Clock()
    progress = Progress("objects", screen, clock)
    progress.show(15, 30, ", 7 bytes copied")
    progress.show(16, 30)  # too soon
    clock.now = 1
    progress.show(30, 30)
    progress.end()
    half = "#" * 15 + "-" * 15
    assert screen.getvalue().split("\r\x1b[K") == [
        "",
        f"[{half}] 15/30 objects, 7 bytes copied",
        f"[{'#' * 30}] 30/30 objects",
        "",
    ]


def test_a_log_sees_a_line_now_and_then() -> None:
    log, clock = io.StringIO(), Clock()
    progress = Progress("objects", log, clock)
    for second in range(12):
        clock.now = second
        progress.show(second, 0)
    progress.end()
    assert log.getvalue() == "5/0 objects\n10/0 objects\n"
    assert LINE_EVERY_S == 5.0
