"""How mails read."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hexhub.mail import text

VALUES = dict.fromkeys(
    (
        "address",
        "link",
        "name",
        "organization",
        "owner",
        "package",
        "publisher",
        "reason",
        "username",
        "version",
    ),
    "acorn",
)


@pytest.mark.parametrize("template", text.names())
@given(value=st.text(max_size=300))
def test_every_mail_is_written_whatever_its_values_are(template: str, value: str) -> None:
    written = text.write(template, dict.fromkeys(VALUES, value), "https://hub.example")

    assert "\n" not in written.subject
    assert written.subject.startswith("HexHub - ")
    assert "https://hub.example" in written.text
    assert "<script" not in written.html.lower().replace("&lt;script", "")


def test_a_missing_value_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(ValueError, match="package"):
        text.write("owner_added", {}, "https://hub.example")


def test_an_unknown_template_is_an_error() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        text.write("nowhere", {}, "https://hub.example")


def test_markup_in_a_value_is_text_in_html() -> None:
    written = text.write("key_created", VALUES | {"name": "<b>&"}, "https://hub.example")

    assert "&lt;b&gt;&amp;" in written.html
    assert '"<b>&"' in written.text
