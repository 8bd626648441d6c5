"""A person at a browser: cookies, pages and forms over plain HTTP, without scripts."""

from __future__ import annotations

import html
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from tests.end_to_end.node import Answer, RunningNode

INPUT = re.compile(r"<input\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


class Person:
    """Opens pages of a node and sends their forms as they are, with what is typed."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._cookies: dict[str, str] = {}

    def get(self, address: str) -> Answer:
        """Open an address, and follow where it leads."""
        for _ in range(5):
            parts = urlsplit(address)
            answer = self._ask("GET", f"{parts.path}?{parts.query}")
            if answer.status != 303:
                break
            address = answer.headers["location"]
        return answer

    def submit(self, page: Answer, action: str, **typed: str) -> Answer:
        """Send the form of a page that goes to `action`, and follow where it leads."""
        text = page.body.decode()
        _, found, rest = text.partition(f'action="{action}"')
        assert found, f"no form for {action}:\n{text}"
        fields = dict(_fields(rest.partition("</form>")[0])) | typed
        answer = self._ask("POST", action, urlencode(fields).encode())
        return self.get(answer.headers["location"]) if answer.status == 303 else answer

    def sign_in(self, name: str, password: str) -> Answer:
        return self.submit(self.get("/login"), "/login", username=name, password=password)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"accept": "text/html", "accept-encoding": "identity"}
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        answer = self._node.request(method, path, body=body, headers=headers)
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self._cookies[name] = morsel.value
        return answer


def _fields(form: str) -> list[tuple[str, str]]:
    """What the inputs of a form hold; boxes only where they are ticked."""
    found = []
    for tag in INPUT.findall(form):
        of = {name: html.unescape(value) for name, value in ATTRIBUTE.findall(tag)}
        ticked = of.get("type") not in ("checkbox", "radio") or " checked" in tag
        if "name" in of and ticked and " disabled" not in tag:
            found.append((of["name"], of.get("value", "on")))
    return found
