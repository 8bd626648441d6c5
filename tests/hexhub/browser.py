"""A browser for tests: keeps cookies, reads forms, submits them with what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin

from multidict import MultiMapping

from tests.hexhub.hubs import Answer, Person, TestHub

FORM = "application/x-www-form-urlencoded"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) test"


@dataclass
class Form:
    """A form of a page: where it goes, and the values that it holds."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(of.get("action", ""), of.get("method", "get")))
            self._inside = True
        elif tag == "input" and self._inside and "name" in of:
            self._input(self.forms[-1], of)

    def _input(self, form: Form, of: dict[str, str]) -> None:
        name, value = of["name"], of.get("value", "")
        if "disabled" in of:
            form.disabled.add(name)
        elif of.get("type") not in ("checkbox", "radio"):
            form.fields[name] = value
        elif "checked" in of:
            form.fields[name] = of.get("value", "on")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


@dataclass
class Page:
    """An answer, as a person sees it."""

    address: str
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return self.answer.body.decode()

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.answer.headers["Location"]

    def forms(self) -> list[Form]:
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    def form(self, action: str) -> Form:
        """The first form that is posted to this path, else the first that goes there."""
        found = [form for form in self.forms() if form.action == action]
        return next((form for form in found if form.method == "post"), found[0])


class Browser:
    """Someone at a browser. `ip` cannot be chosen: everybody comes from this machine."""

    def __init__(self, hub: TestHub) -> None:
        self.hub = hub
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self._asks = Person(hub, None, None)

    async def get(self, address: str) -> Page:
        """Open an address, without following where it leads."""
        return await self._request("GET", address, None)

    async def open(self, address: str) -> Page:
        """Open an address and follow where it leads."""
        return await self._follow(await self.get(address))

    async def post(self, address: str, fields: Mapping[str, str]) -> Page:
        """Send these fields, and nothing else."""
        return await self._request("POST", address, urlencode(fields).encode())

    async def submit(self, page: Page, action: str, *without: str, **typed: str) -> Page:
        """Send the form of a page that goes to `action`; `typed` fills it in, `__` is a colon."""
        form = page.form(action)
        fields = {name: value for name, value in form.fields.items() if name not in without}
        fields |= {name.replace("__", ":"): value for name, value in typed.items()}
        return await self.post(action, fields)

    async def send(self, address: str, action: str, *without: str, **typed: str) -> Page:
        """Open a page and send its form."""
        return await self.submit(await self.open(address), action, *without, **typed)

    async def sign_in(self, name: str, password: str) -> Page:
        """Sign in and see where it leads."""
        return await self.send("/login", "/login", username=name, password=password)

    async def _follow(self, page: Page) -> Page:
        for _ in range(5):
            if page.status not in (301, 302, 303):
                break
            page = await self.get(urljoin(page.address, page.location))
        return page

    async def _request(self, method: str, address: str, data: bytes | None) -> Page:
        headers = {"User-Agent": AGENT, "Accept": "text/html"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if data is not None:
            headers["Content-Type"] = FORM
        answer = await self._asks.request(method, address, data=data, headers=headers)
        self._keep(answer)
        return Page(address, answer)

    def _keep(self, answer: Answer) -> None:
        """Take the cookies of an answer, as a browser does."""
        assert isinstance(answer.headers, MultiMapping)
        self.set_cookies = list(answer.headers.getall("Set-Cookie", []))
        for line in self.set_cookies:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
