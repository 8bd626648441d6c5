"""docs/configuration.md says what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

from hexhub.config import describe, load, reference
from hexhub.config.reference import BEGIN
from tests.deploy.test_image import ROOT


def page() -> str:
    return (ROOT / "docs/configuration.md").read_text("utf-8")


def test_the_page_holds_the_reference_as_it_is_printed() -> None:
    assert page().partition(BEGIN)[1:] == (BEGIN, reference().removeprefix(BEGIN))


def test_every_setting_is_in_one_table_with_a_meaning(tmp_path: Path) -> None:
    settings = describe(load({}, checkout=tmp_path))
    rows = re.findall(r"^\| `([A-Z0-9_]+)`.* \| .+ \| (.+) \|$", page(), flags=re.M)
    assert [name for name, _ in rows] == [setting.name for setting in settings]
    assert all(meaning.strip() for _, meaning in rows)


def test_every_exit_code_of_the_commands_is_on_the_page() -> None:
    from hexhub import cli

    said = {int(code) for code in re.findall(r"\b(\d+) (?=[a-z])", cli.__doc__ or "")}
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page(), flags=re.M)}
    assert said == listed
