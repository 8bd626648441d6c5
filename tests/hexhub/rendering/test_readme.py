"""READMEs of strangers as HTML."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hexhub.rendering import Rendering, TooMuch, readme


def html(text: str, path: str = "README.md") -> str:
    return readme.draw(text, path, "/packages/a/1.0.0/files", "/packages/a/1.0.0/raw").html


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "<a href='java\tscript:alert(1)'>a</a>",
        "<a href='data:text/html,<script>alert(1)</script>'>a</a>",
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        "<style>body { display: none }</style>",
        "<p style='position: fixed; inset: 0'>a</p>",
        "<iframe src='https://example.org'></iframe>",
        "<form action='/logout' method=post><button>a</button></form>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<base href='https://example.org'>",
        "<meta http-equiv=refresh content='0; url=https://example.org'>",
        '![a](x.png" onerror="alert(1))',
        "<a href=\"#\" onclick='alert(1)'>a</a>",
        "<details ontoggle=alert(1) open>a</details>",
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    ],
)
def test_nothing_that_runs_or_reaches_out_is_left(evil: str) -> None:
    made = html(f"before\n\n{evil}\n\nafter").lower()
    for trace in ("<script", "<style", "<svg", "<iframe", "<form", "<button", "<base", "<meta"):
        assert trace not in made
    for trace in (" onerror=", " onload=", " onclick=", " ontoggle=", " style="):
        assert trace not in made.replace("&quot;", '"') or f"<img{trace}" not in made
    assert 'href="javascript' not in made
    assert 'href="data' not in made
    assert "before" in made


def test_pictures_come_from_the_package_and_others_become_links() -> None:
    made = html("![logo](assets/logo.png) ![badge](https://img.example.org/b.svg)")
    assert 'src="/packages/a/1.0.0/raw/assets/logo.png"' in made
    assert made.count("<img") == 1
    assert 'href="https://img.example.org/b.svg"' in made


def test_pictures_of_other_hosts_are_numbered_where_the_hub_fetches_them() -> None:
    text = (
        "![a](https://one.example.org/a.svg) ![b](logo.png) [![c](//two.example.org/c.png)](x)\n\n"
        '<img src="HTTP://three.example.org/d.png" width=40 onerror=1> <img src="data:image/png,x">'
    )
    made = readme.draw(text, "README.md", "/files", "/raw", "/picture")
    assert made.pictures == [
        "https://one.example.org/a.svg",
        "https://two.example.org/c.png",
        "HTTP://three.example.org/d.png",
    ]
    for number in range(3):
        assert f'src="/picture/{number}"' in made.html
    assert "example.org" not in made.html
    assert made.html.count("<img") == 4
    many = readme.draw("![x](https://example.org/x.png)\n" * 150, "README.md", "/f", "/r", "/p")
    assert len(many.pictures) == readme.PICTURES_MAX
    assert many.html.count('<a href="https://example.org/x.png"') == 50


@pytest.mark.parametrize(
    "address", ["//example.org/x.png", "\\\\example.org\\x.png", "HTTPS://example.org/x.png"]
)
def test_no_spelling_of_another_host_loads_a_picture(address: str) -> None:
    assert "<img" not in html(f'<img src="{address}" alt="x">')


def test_relative_links_stay_inside_the_package() -> None:
    made = html("[a](CHANGELOG.md#one) [b](../../../etc/passwd)", "docs/README.md")
    assert 'href="/packages/a/1.0.0/files/docs/CHANGELOG.md#one"' in made
    assert 'href="/packages/a/1.0.0/files/etc/passwd"' in made


def test_ids_of_a_readme_cannot_be_those_of_the_page() -> None:
    made = html("# Search\n\n<a id='search' name='hits'></a> [up](#search)")
    assert 'id="search"' not in made
    assert 'href="#readme-search"' in made


def test_only_classes_of_highlighting_are_kept() -> None:
    made = html("<span class='button danger k'>a</span>\n\n```elixir\ndef a, do: 1\n```")
    assert "button" not in made
    assert '<span class="kd">def</span>' in made


def test_a_readme_that_is_no_markdown_is_shown_as_it_is() -> None:
    assert "<pre" in html("# <b>a</b>", "README.txt")
    assert "&lt;b&gt;" in html("# <b>a</b>", "README.txt")


@pytest.fixture
async def rendering() -> AsyncIterator[Rendering]:
    made = Rendering()
    yield made
    await made.close()


async def test_work_that_takes_too_long_is_given_up_and_the_next_is_done(
    rendering: Rendering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hexhub.rendering.TIME_S", 1.0)
    values = {"path": "README.md", "files": "/f", "raw": "/r"}
    with pytest.raises(TooMuch):
        await rendering.work(("evil",), "readme", text="<div>" * 80_000, **values)
    with pytest.raises(TooMuch):
        await rendering.work(("evil",), "readme", text="<div>" * 80_000, **values)
    drawn, _ = await rendering.work(("good",), "readme", text="*a*", **values)
    assert "<em>" in drawn


async def test_differences_come_as_numbered_lines(rendering: Rendering) -> None:
    (hunk,) = await rendering.work(("d",), "changes", old="a\nb\n", new="a\nc\n")
    assert hunk["lines"] == [[" ", 1, 1, "a"], ["-", 2, 0, "b"], ["+", 0, 2, "c"]]


async def test_source_is_highlighted_line_by_line(rendering: Rendering) -> None:
    lines = await rendering.work(("c",), "code", text='x = "<b>\n"\n', name="a.ex")
    assert len(lines) == 2
    assert all(line.count("<span") == line.count("</span>") for line in lines)
    assert "&lt;b&gt;" in lines[0]
