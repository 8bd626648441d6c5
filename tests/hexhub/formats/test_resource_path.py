"""Repository paths: what each names, and what names nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hexhub.formats.resource_path import Resource, parse


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("names", Resource("names")),
        ("versions", Resource("versions")),
        ("public_key", Resource("public_key")),
        ("packages/plug", Resource("packages", "plug")),
        ("packages/plug_cowboy2", Resource("packages", "plug_cowboy2")),
        ("tarballs/plug-1.0.0.tar", Resource("tarballs", "plug", "1.0.0")),
        ("tarballs/a-1.0.0-rc.1-x.tar", Resource("tarballs", "a", "1.0.0-rc.1-x")),
        ("tarballs/a-1.0.0+build.5.tar", Resource("tarballs", "a", "1.0.0+build.5")),
        ("tarballs/a-1.0.0-tar.tar", Resource("tarballs", "a", "1.0.0-tar")),
        ("docs/plug-1.0.0.tar.gz", Resource("docs", "plug", "1.0.0")),
        ("policies/strict-prod", Resource("policies", "strict-prod")),
    ],
)
def test_a_path_names_its_resource(path: str, resource: Resource) -> None:
    assert parse(path) == resource
    assert parse("/" + path) == resource
    assert resource.path == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "Names",
            "names/",
            "names/x",
            "//names",
            "packages",
            "packages/",
            "packages/a/b",
        ),
        *(
            "packages/a-b",
            "packages/..",
            "packages/a.b",
            "packages/ä",
            "packages/a%2Fb",
            "tarballs/",
        ),
        *(
            "tarballs/plug.tar",
            "tarballs/plug-1.0.tar",
            "tarballs/plug-1.0.0",
            "tarballs/-1.0.0.tar",
        ),
        *("tarballs/plug-1.0.0.tar.gz", "docs/plug-1.0.0.tar", "tarballs/plug-1.0.0 b.tar"),
        *("tarballs/../x-1.0.0.tar", "tarballs/a-01.0.0.tar", "policies/a", "policies/-ab"),
        *(
            "policies/a_b.",
            "policies/A-b",
            "registry.ets.gz",
            "installs/hex-1.x.csv",
            "repos/acme/names",
        ),
        *("packages/a\n", "packages/a\x00", "tarballs/a-1.0.0\n.tar", "packages/" + "a" * 256),
    ],
)
def test_any_other_path_names_nothing(path: str) -> None:
    assert parse(path) is None


@given(st.text(max_size=60) | st.text("abt01-.+/ardsockglpi", max_size=40))
def test_what_a_path_names_has_that_path(path: str) -> None:
    resource = parse(path)
    assert resource is None or resource.path == path.removeprefix("/")
