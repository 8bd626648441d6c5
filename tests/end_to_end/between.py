"""What stands between a real mirror and its real upstream: it passes on, holds back, adds files."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 60.0
PASSED = ("etag", "content-type", "cache-control", "location")


@dataclass
class Between:
    """A way to `port`, where another process may be dead or alive."""

    port: int
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """Files that are served here, by path, the upstream having none."""
    requests: Counter[str] = field(default_factory=Counter)
    held: str | None = None
    """The path of which half is passed on, and the rest never."""
    in_the_middle: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def hold(self, path: str) -> None:
        """Stop in the middle of the next answer for a path, until `let_go`; then cut it off."""
        self.in_the_middle.clear()
        self.let_go.clear()
        self.held = path

    def wait_for_the_middle(self) -> None:
        assert self.in_the_middle.wait(PATIENCE_S), f"{self.held} was not asked for"


@contextmanager
def between(port: int) -> Iterator[Between]:
    """Serve the way to `port` on a port of its own."""
    way = Between(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            way.requests[self.path] += 1
            if self.path in way.files:
                self._say(200, {}, way.files[self.path])
                return
            sent = {
                name: self.headers[name]
                for name in ("If-None-Match", "Accept", "User-Agent")
                if name in self.headers
            }
            upstream = http.client.HTTPConnection("127.0.0.1", way.port, timeout=PATIENCE_S)
            try:
                upstream.request("GET", self.path, headers=sent)
                answer = upstream.getresponse()
                told = {
                    name: value for name, value in answer.getheaders() if name.lower() in PASSED
                }
                if self.path == way.held:
                    self._half(answer, told)
                else:
                    self._say(answer.status, told, answer.read())
            except (OSError, http.client.HTTPException):
                self.close_connection = True
            finally:
                upstream.close()

        def _half(self, answer: http.client.HTTPResponse, told: dict[str, str]) -> None:
            way.held = None
            length = int(answer.headers["content-length"])
            self._head(answer.status, told, length)
            self.wfile.write(answer.read(length // 2))
            self.wfile.flush()
            way.in_the_middle.set()
            way.let_go.wait(PATIENCE_S)
            self.close_connection = True

        def _say(self, status: int, told: dict[str, str], body: bytes) -> None:
            self._head(status, told, None if status == 304 else len(body))
            self.wfile.write(body)

        def _head(self, status: int, told: dict[str, str], length: int | None) -> None:
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    way.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield way
    finally:
        way.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
