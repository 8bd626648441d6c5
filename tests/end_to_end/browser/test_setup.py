"""The lines of the set-up page, pasted into the clients that they are for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.end_to_end.browser.content import Filled
from tests.end_to_end.mix import Mix, mix_home
from tests.end_to_end.node import run
from tests.end_to_end.packages import mix_project, rebar3_project, tarball
from tests.end_to_end.rebar3 import require_rebar3


def _lines(page: Page, tool: str) -> dict[str, str]:
    """The texts of a tab by their titles, as the copy buttons give them."""
    page.click(f".pick.wide label:text-is('{tool}')")
    panel = page.locator(".pick.wide > div:visible")
    titles = panel.locator("h2").all_inner_texts()
    return dict(zip(titles, panel.locator(".copy pre").all_text_contents(), strict=True))


def _run(script: str, folder: Path, **variables: str) -> None:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
    command = ["bash", "-ec", script]
    done = run(command, cwd=folder, environment=environment | variables, timeout_s=60)
    assert done.code == 0, done.text


def test_rebar3_fetches_with_the_lines_of_its_tab(page: Page, hub: Filled, tmp_path: Path) -> None:
    require_rebar3()
    hub.node.must_publish(tarball("kiln", "1.0.0", rebar3_project("kiln", "1.0.0")), hub.mara)
    page.goto("/setup")
    lines = _lines(page, "rebar3")
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "consumer.app.src").write_text(
        '{application,consumer,[{vsn,"0.1.0"},{applications,[kernel,stdlib]}]}.\n'
    )
    config = lines["In rebar.config"].replace("my_package", "kiln")
    (project / "rebar.config").write_text(config)
    _run(f"{lines['In the environment']}\nrebar3 compile", project)
    assert (project / "_build/default/lib/kiln/ebin/kiln.beam").exists()


def test_rebar3_fetches_what_is_private_with_a_key_made_on_the_spot(
    mara_page: Page, hub: Filled, tmp_path: Path
) -> None:
    require_rebar3()
    kiln = tarball("anvil", "1.0.0", rebar3_project("anvil", "1.0.0"))
    hub.node.must_publish(kiln, hub.mara, "acme")
    mara_page.goto("/setup?repository=acme")
    mara_page.click("text=Put a new key into the lines")
    (config,) = _lines(mara_page, "rebar3").values()
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "consumer.app.src").write_text(
        '{application,consumer,[{vsn,"0.1.0"},{applications,[kernel,stdlib]}]}.\n'
    )
    (project / "rebar.config").write_text(config.replace("my_package", "anvil"))
    _run("rebar3 compile", project)
    assert (project / "_build/default/lib/anvil/ebin/anvil.beam").exists()


LIBRARY = """
defmodule Hearth.MixProject do
  use Mix.Project
  def project, do: [app: :hearth, version: "1.0.0", description: "Warm", package: package()]
  def application, do: []
  defp package, do: [licenses: ["MIT"], links: %{}, files: ["mix.exs", "lib"]]
end
"""


@pytest.mark.long
def test_mix_publishes_and_fetches_with_the_lines_of_its_tab(
    page: Page, hub: Filled, tmp_path: Path
) -> None:
    Mix(tmp_path / "look")  # skips where mix does not work
    page.goto("/setup")
    lines = _lines(page, "mix")
    variables = {"MIX_HOME": mix_home(), "HEX_HOME": str(tmp_path / "hex")}
    library = tmp_path / "library"
    for path, text in (mix_project("hearth", "1.0.0") | {"mix.exs": LIBRARY.encode()}).items():
        (library / path).parent.mkdir(parents=True, exist_ok=True)
        (library / path).write_bytes(text)
    publish = lines["Publish"].replace("HEX_API_KEY=KEY", f"HEX_API_KEY={hub.mara}")
    _run(publish.replace("hex.publish", "hex.publish package"), library, **variables)
    consumer = tmp_path / "consumer"
    deps = f"[{lines['In mix.exs'].replace('my_package', 'hearth')}]"
    for path, text in mix_project("consumer", "0.1.0", deps).items():
        (consumer / path).parent.mkdir(parents=True, exist_ok=True)
        (consumer / path).write_bytes(text)
    _run(f"{lines['Once per machine']}\nmix deps.get", consumer, **variables)
    assert (consumer / "deps/hearth/mix.exs").exists()
