"""rebar3's publishing plugin, replayed: the requests it sends, byte for byte as httpc sends them.

The plugin is in no distribution's rebar3, so its calls (http-api.md §5) are made here.
"""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from tests.end_to_end.node import PASSWORD, Answer
from tests.end_to_end.terms import Term, decode, encode

ERLANG = "application/vnd.hex+erlang"
USER_AGENT = "hex_core/0.10.1 (httpc) (OTP/25) (erts/13.1.5)"


@dataclass(frozen=True)
class Reply:
    """An answer as the plugin sees it: no term when there is no body."""

    status: int
    headers: Mapping[str, str]
    term: Term

    def field(self, *path: str) -> Term:
        """A value inside nested maps."""
        term = self.term
        for name in path:
            assert isinstance(term, dict), self
            term = term[name]
        return term


@dataclass(frozen=True)
class Upload:
    """What became of a request with `Expect: 100-continue`."""

    continued: bool  # the node asked for the body
    reply: Reply


def basic(user: str, password: str = PASSWORD) -> str:
    """The Basic credentials with which the plugin makes its keys."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Answering(Protocol):
    """A node, or a load balancer in front of several."""

    port: int

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...


class Rebar3Hex:
    """The plugin with one credential; every call speaks Erlang terms."""

    def __init__(self, node: Answering, credential: str | None) -> None:
        self._node = node
        self._credential = credential

    def _headers(self) -> dict[str, str]:
        headers = {"accept": ERLANG, "user-agent": USER_AGENT, "te": ""}
        if self._credential is not None:
            headers["authorization"] = self._credential
        return headers

    def call(self, method: str, path: str, body: Term = None) -> Reply:
        """`{api}PATH` with a term as body, if there is one."""
        headers = self._headers()
        content = None
        if body is not None:
            headers["content-type"] = ERLANG
            content = encode(body)
        answer = self._node.request(method, "/api" + path, body=content, headers=headers)
        return _reply(answer)

    def create_key(self, name: str, *permissions: tuple[str, str | None]) -> Reply:
        wanted: list[Term] = [
            {"domain": domain} if resource is None else {"domain": domain, "resource": resource}
            for domain, resource in permissions
        ]
        return self.call("POST", "/keys", {"name": name, "permissions": wanted})

    def publish(
        self, name: str, tarball: bytes, *, replace: bool = False, organization: str | None = None
    ) -> Upload:
        """The release, announced with `Expect: 100-continue`."""
        where = f"/repos/{organization}" if organization else ""
        flag = "true" if replace else "false"
        path = f"{where}/packages/{quote(name)}/releases?replace={flag}"
        return self.upload(path, tarball, {"content-length": str(len(tarball))})

    def must_publish(self, name: str, tarball: bytes, organization: str | None = None) -> None:
        reply = self.publish(name, tarball, organization=organization).reply
        assert reply.status == 201, reply

    def upload(self, path: str, content: bytes, framing: Mapping[str, str]) -> Upload:
        """POST that sends its body only when the node says 100; `framing` announces the body."""
        fields = {
            "host": f"127.0.0.1:{self._node.port}",
            **self._headers(),
            "content-type": "application/octet-stream",
            "expect": "100-continue",
            **framing,
        }
        head = f"POST /api{path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        with socket.create_connection(("127.0.0.1", self._node.port), timeout=30) as connection:
            connection.sendall(head.encode())
            first = connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
            continued = first == b"HTTP/1.1 100"
            if continued:
                connection.sendall(content)
            return Upload(continued, _read_reply(connection))

    def publish_docs(
        self, name: str, version: str, archive: bytes, organization: str | None = None
    ) -> Reply:
        """The docs, without `Expect`."""
        where = f"/repos/{organization}" if organization else ""
        answer = self._node.request(
            "POST",
            f"/api{where}/packages/{name}/releases/{version}/docs",
            body=archive,
            headers={**self._headers(), "content-type": "application/octet-stream"},
        )
        return _reply(answer)


def _read_reply(connection: socket.socket) -> Reply:
    response = http.client.HTTPResponse(connection, method="POST")
    try:
        response.begin()
        body = response.read()
    finally:
        response.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return _reply(Answer(response.status, headers, body))


def _reply(answer: Answer) -> Reply:
    if not answer.body or not answer.headers.get("content-type", "").startswith(ERLANG):
        return Reply(answer.status, answer.headers, None)
    return Reply(answer.status, answer.headers, decode(answer.body))
