"""How far a long command is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
BAR_EVERY_S, LINE_EVERY_S = 0.2, 5.0


class Progress:
    """Prints to standard error, so that what a command says stays alone on standard output."""

    def __init__(
        self, what: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._terminal = self._out.isatty()
        self._last = clock() if not self._terminal else float("-inf")
        self._shown = False

    def show(self, done: int, wanted: int, more: str = "") -> None:
        """`done` of `wanted`, if it is time to say so."""
        now = self._clock()
        if now - self._last < (BAR_EVERY_S if self._terminal else LINE_EVERY_S):
            return
        self._last = now
        said = f"{done}/{wanted} {self._what}{more}"
        if self._terminal:
            filled = WIDTH * done // wanted if wanted else 0
            bar = "#" * filled + "-" * (WIDTH - filled)
            self._out.write(f"\r\x1b[K[{bar}] {said}")
            self._shown = True
        else:
            self._out.write(f"{said}\n")
        self._out.flush()

    def end(self) -> None:
        """Take the bar away: the report says how it went."""
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._shown = False
