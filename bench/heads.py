"""HEAD requests on some connections for some seconds: prints how many a second, and the p99 in ms.

python -m bench.heads URL CONNECTIONS SECONDS
"""

from __future__ import annotations

import select
import socket
import sys
import time
from urllib.parse import urlsplit


def main(url: str, connections: int, seconds: float) -> None:
    address = urlsplit(url)
    request = (
        f"HEAD {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: */*\r\n"
        "User-Agent: bench\r\n\r\n"
    ).encode()
    poll, asked, took = select.epoll(), {}, []
    for _ in range(connections):
        sock = socket.create_connection((address.hostname or "", address.port or 80))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock.fileno(), select.EPOLLIN)
        asked[sock.fileno()] = (sock, time.perf_counter())
        sock.sendall(request)
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        for fd, _ in poll.poll(1.0):
            sock, began = asked[fd]
            head = sock.recv(4096)
            if not head.startswith(b"HTTP/1.1 200") or not head.endswith(b"\r\n\r\n"):
                sys.exit(f"an answer that is none: {head!r}")
            took.append(now - began)
            asked[fd] = (sock, now)
            sock.sendall(request)
    took.sort()
    print(len(took) / seconds, took[int(len(took) * 0.99)] * 1000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
