"""docs/operations: every line of the pages on installing and on storage is run, every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, RunningNode
from tests.end_to_end.test_restore import bucket as bucket
from tests.hexhub.packages import package

DOCS = ROOT / "docs"
PAGES = [DOCS / "operations.md", *sorted((DOCS / "operations").glob("*.md"))]
ELSEWHERE = ("hexhub import",)
"""Lines that need another registry; end_to_end/test_import.py runs them."""


def lines(page: str) -> list[str]:
    """The `hexhub` lines of a page's shell blocks."""
    text = (DOCS / page).read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("hexhub ")]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.long
def test_the_lines_on_installing_and_storage_do_what_the_pages_say(
    tmp_path: Path, bucket: Mapping[str, str]
) -> None:
    node = RunningNode(tmp_path, {**bucket, "STORAGE_TYPE": "local"})
    said = {}
    try:
        node.create_user("mara")
        node.must_publish(package("one"), node.create_key("mara", "api"))
        for line in (*lines("operations/install.md"), *lines("operations/storage.md")):
            if line.startswith(ELSEWHERE):
                continue
            if line == "hexhub serve --dry-run":
                assert node.stop() == 0
            output = node.try_command(*shlex.split(line)[1:])
            assert output.code == 0 or line == "hexhub doctor", (line, output)
            said[line] = output.stdout
            if line == "hexhub serve --dry-run":
                node.restart()
        assert said["hexhub health ready"] == "ok\n"
        assert "bad" not in said["hexhub doctor"].split(), said["hexhub doctor"]
        assert said["hexhub doctor client"].startswith("#!/bin/sh")
        assert "a start changes nothing" in said["hexhub serve --dry-run"]
        assert ", 1 copied" in said["hexhub storage migrate --to s3"]
        assert "bytes on disk before" in said["hexhub compact"]
        # The end of moving to the bucket, as the page says it.
        assert node.stop() == 0
        assert "1 were there, 0 copied" in node.command("storage", "migrate", "--to", "s3")
        node.environment["STORAGE_TYPE"] = "s3"
        (Path(node.environment["DATA_DIR"]) / "storage").rename(tmp_path / "aside")
        node.restart()
        assert node.request("GET", "/tarballs/one-1.0.0.tar").body == package("one")
        assert node.command("user", "disable", "mara")
    finally:
        assert node.stop() == 0
    assert os.listdir(tmp_path / "aside")
