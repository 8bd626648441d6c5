"""The process that draws: length-prefixed msgpack in, the same out, one piece of work at a time."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec.msgpack

from hexhub.rendering import changes, highlight, readme

ADDRESS_SPACE_MAX = 2 * 1024**3

WORK: dict[str, Callable[..., Any]] = {
    "readme": readme.draw,
    "code": highlight.lines,
    "changes": changes.hunks,
}


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_MAX, ADDRESS_SPACE_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sink.write(b"\n")
    sink.flush()
    while (work := _read(source)) is not None:
        try:
            answer = WORK[work.pop("kind")](**work)
        except (Exception, RecursionError):
            answer = None
        body = msgspec.msgpack.encode(answer)
        sink.write(len(body).to_bytes(4, "big") + body)
        sink.flush()


def _read(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    return dict(msgspec.msgpack.decode(source.read(int.from_bytes(head, "big"))))


if __name__ == "__main__":
    main()
