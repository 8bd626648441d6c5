"""Documentation archives: every golden file, and the rules of their own."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from hexhub.errors import Malformed
from hexhub.formats.docs_archive import ARCHIVE_SIZE_MAX, check
from tests.hexhub.formats.archives import END, directory, docs, file, gzip, symlink
from tests.hexhub.formats.golden import load, read

CASES = load("docs.json")
# Refused here, though hexpm publishes them (docs.md §10).
STRICTER = {"docs/no_index.tar.gz", "docs/plain_tar.tar.gz", "docs_bad/empty_tar.tar.gz"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_an_archive_gets_the_recommended_verdict(case: dict[str, Any]) -> None:
    data = read(case["file"])
    if case["hexdocs_verdict"] != "publish" or case["file"] in STRICTER:
        with pytest.raises(Malformed):
            check(data)
        return
    archive = check(data)
    assert archive.checksum.hex() == case["sha256"] == hashlib.sha256(data).hexdigest()
    assert archive.size == case["size"]
    assert sorted(entry.path for entry in archive.files if entry.type == "regular") == sorted(
        case["served_files"]
    )
    modes = {entry.path: entry.mode for entry in archive.files if entry.type == "regular"}
    assert modes.items() == {
        (each["path"], int(each["mode"], 8))
        for each in case["hexdocs_tree"]
        if each["type"] == "regular"
    }


def test_the_stricter_cases_exist() -> None:
    assert {case["file"] for case in CASES} >= STRICTER


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bytes(ARCHIVE_SIZE_MAX + 1), "too big"),
        (b"", "the gzip stream is cut"),
        (file("index.html") + END, "not gzip, or damaged"),
        (docs(b"") + docs(b""), "bytes after the gzip member"),
        (gzip([END]), "index.html missing"),
        (gzip([file("doc/index.html"), END]), "index.html missing"),
        (gzip([directory("index.html"), END]), "index.html missing"),
        (gzip([file("a"), symlink("index.html", "a"), END]), "index.html missing"),
        (docs(file("../x")), 'unsafe path: "../x"'),
        (docs(file("index.html")), 'the path "index.html" appears twice'),
        *(
            (docs(part), "root file or directory name not allowed to match a semver version")
            for part in (
                file("1.0.0"),
                file("1.0.0-rc.1/x"),
                directory("1.2.3+b"),
                symlink("2.0.0", "x"),
            )
        ),
    ],
)
def test_an_archive_is_refused_in_the_words_of_the_specification(data: bytes, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        check(data)
    assert str(caught.value) == text


def test_names_that_only_look_like_versions_are_pages() -> None:
    parts = file("1.0/x") + file("v1.0.0/x") + file("01.0.0") + file("sub/1.0.0/x")
    assert len(check(docs(parts)).files) == 5
