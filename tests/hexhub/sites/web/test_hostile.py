"""Pages about packages whose authors mean harm: names of files, deep and huge trees, slow texts."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import pytest

from tests.end_to_end.packages import docs_archive, tarball
from tests.hexhub.hubs import Answer, Person, TestHub

NAMES = (
    "plain.txt",
    "a b & c.txt",
    "<script>alert(1)</script>.md",
    '"quoted" onmouseover="alert(1)".md',
    "'single'.md",
    "%2e%2e%2fup.txt",
    "?query=1#fragment.txt",
    "{{ 7 * 7 }}.txt",
    "javascript:alert(1)",
    "-rf",
    "..hidden..",
    "new\nline.txt",
    "tab\tand\x07bell.txt",
    "\u202egnp.exe",
    "ünïcode 😀.ex",
    "a;b=c,d+e@f!$.txt",
    "/".join("d" * 40) + "/end.txt",
)


async def page(person: Person, path: str) -> Answer:
    return await person.get(path, Accept="text/html")


async def publish(mara: Person, version: str, files: dict[str, bytes]) -> None:
    answer = await mara.publish(tarball("evil", version, files))
    assert answer.status == 201, answer.body


async def test_every_name_of_a_file_leads_to_its_bytes_and_is_only_text(
    hub: TestHub, mara: Person
) -> None:
    files = {name: f"bytes of {at}\n".encode() for at, name in enumerate(NAMES)}
    await publish(mara, "1.0.0", files)
    await publish(mara, "1.1.0", {name: body + b"more\n" for name, body in files.items()})
    text = (await page(hub.nobody, "/packages/evil/1.0.0/files")).body.decode()
    links = re.findall(r'<a href="([^"]*/files/[^"]*)">([^<]*)</a>', text)
    assert {unescape(shown) for _, shown in links} == set(NAMES)
    for address, shown in links:
        name, path = unescape(shown), unescape(address)
        assert re.fullmatch(r"/packages/evil/1\.0\.0/files/[\x21-\x7e]+", path)
        one = await page(hub.nobody, path)
        assert one.status == 200, name
        assert files[name].decode().strip() in re.sub("<[^>]*>", "", one.body.decode())
        raw = await hub.nobody.get(path.replace("/files/", "/raw/", 1))
        assert raw.body == files[name]
        assert raw.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "sandbox" in raw.headers["Content-Security-Policy"]
        _is_text_alone(one.body.decode())
    _is_text_alone(text)
    diff = await page(hub.nobody, "/diff/evil/1.0.0..1.1.0")
    assert diff.status == 200
    _is_text_alone(diff.body.decode())


def _is_text_alone(text: str) -> None:
    assert "<script>alert" not in text
    assert " onmouseover=" not in text.replace("&#34; onmouseover=", "")
    assert 'href="javascript' not in text


async def test_every_name_of_a_docs_page_leads_to_its_bytes(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0", {"a": b"a"})
    pages = {f"{at}/{name}": name.encode() for at, name in enumerate(NAMES)} | {"index.html": b"x"}
    answer = await mara.post("/api/packages/evil/releases/1.0.0/docs", data=docs_archive(pages))
    assert answer.status == 201, answer.body

    for path, body in pages.items():
        answer = await hub.nobody.get(f"/docs/evil/1.0.0/{quote(path)}")
        assert (answer.status, answer.body.endswith(body)) == (200, True), path
    found = (await hub.nobody.get("/docs/evil/sitemap.xml")).body
    assert b"<script" not in found


async def test_many_files_are_listed_in_part(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hexhub.sites.web.files.LISTED_MAX", 20)
    monkeypatch.setattr("hexhub.sites.web.diff.FILES_MAX", 5)
    files = {f"lib/{number}.ex": b"a" for number in range(60)}
    await publish(mara, "1.0.0", files)
    await publish(mara, "1.1.0", dict.fromkeys(files, b"b"))
    listed = (await page(hub.nobody, "/packages/evil/1.0.0/files")).body.decode()
    assert listed.count("/files/lib/") == 20
    assert "Only the first 20 files are listed" in listed
    diff = (await page(hub.nobody, "/diff/evil/1.0.0..1.1.0")).body.decode()
    assert diff.count('<details class="file"') == 5
    assert "60 files changed" in diff


async def test_slow_texts_are_shown_as_they_are(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markdown, highlighting and comparing that would take minutes."""
    monkeypatch.setattr("hexhub.rendering.TIME_S", 0.5)
    slow = "x" + " " * 200_000 + "end of it"
    lines = "\n".join(f"{number % 7}" for number in range(9_000))
    files = {"README.md": b"<div>" * 80_000 + b"end of it", "slow.md": slow.encode()}
    await publish(mara, "1.0.0", files | {"b.txt": lines.encode()})
    await publish(mara, "1.1.0", files | {"b.txt": lines[::-1].replace("\n", "\nq\n").encode()})
    readme = await page(hub.nobody, "/packages/evil")
    assert b"This README is too complex to draw." in readme.body
    assert b"&lt;div&gt;" in readme.body
    file = await page(hub.nobody, "/packages/evil/1.0.0/files/slow.md")
    assert b"end of it" in file.body
    shown = file.body.partition(b'class="code"')[2].partition(b"</table>")[0]
    assert b"<span" not in shown
    diff = await page(hub.nobody, "/diff/evil/1.0.0..1.1.0")
    assert diff.status == 200
    assert b"b.txt" in diff.body
