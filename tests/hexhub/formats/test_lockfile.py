"""Lock files of mix, rebar3 and Gleam."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats import lockfile
from hexhub.formats.lockfile import Locked

A, B = "ab" * 32, "cd" * 32

MIX = f"""\
%{{
  "jason": {{:hex, :jason, "1.4.1", "{A}", [:mix], [{{:decimal, "~> 1.0 or ~> 2.0", [hex: :decimal, repo: "hexpm", optional: true]}}], "hexpm", "{B}"}},
  "leaf": {{:hex, :leaf_fork, "3.1.4-rc.1+b", "{A}", [:rebar3], [], "acme", "{B}"}},
  "old": {{:hex, :old, "0.1.0", "{A}", [:mix], [], "hexpm"}},
  "older": {{:hex, :"older", "0.1.0"}},
  "patched": {{:git, "https://example.org/patched.git", "0123abc", [branch: "main"]}},
}}
"""

REBAR = f"""\
{{"1.2.0",
[{{<<"bough">>,{{pkg,<<"bough">>,<<"1.1.0">>}},0}},
 {{<<"leaf">>,{{pkg,<<"leaf_fork">>,<<"3.1.4">>}},1}},
 {{<<"patched">>,
  {{git,"https://example.org/patched.git",
       {{ref,"0123abc"}}}},
  0}}]}}.
[
{{pkg_hash,[
 {{<<"bough">>, <<"{A.upper()}">>}},
 {{<<"leaf">>, <<"{A.upper()}">>}}]}},
{{pkg_hash_ext,[
 {{<<"bough">>, <<"{B.upper()}">>}},
 {{<<"leaf">>, <<"{A.upper()}">>}}]}}
].
"""

GLEAM = f"""\
packages = [
  {{ name = "gleam_stdlib", version = "0.40.0", build_tools = ["gleam"], requirements = [], otp_app = "gleam_stdlib", source = "hex", outer_checksum = "{B.upper()}" }},
  {{ name = "local", version = "1.0.0", build_tools = ["gleam"], requirements = [], source = "local", path = "../local" }},
]

[requirements]
gleam_stdlib = {{ version = ">= 0.34.0 and < 2.0.0" }}
"""


def test_mix() -> None:
    lock = lockfile.parse("mix.lock", MIX)
    assert lock.releases == (
        Locked("jason", "1.4.1", "hexpm", B),
        Locked("leaf_fork", "3.1.4-rc.1+b", "acme", B),
        Locked("old", "0.1.0", "hexpm", None),
        Locked("older", "0.1.0", "hexpm", None),
    )
    assert lock.other == ("patched (git)",)


def test_rebar3() -> None:
    lock = lockfile.parse("rebar.lock", REBAR)
    assert lock.releases == (
        Locked("bough", "1.1.0", "hexpm", B),
        Locked("leaf_fork", "3.1.4", "hexpm", A),
    )
    assert lock.other == ("patched (git)",)


def test_gleam() -> None:
    lock = lockfile.parse("manifest.toml", GLEAM)
    assert lock.releases == (Locked("gleam_stdlib", "0.40.0", "hexpm", B),)
    assert lock.other == ("local (local)",)


@pytest.mark.parametrize("text", ["%{\n}\n", "%{}\n", "[].\n"])
def test_a_project_without_dependencies_needs_nothing(text: str) -> None:
    assert lockfile.parse("some.lock", text).releases == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mix.lock", "<html>"),
        ("mix.lock", '%{\n  "jason": System.halt()\n}\n'),
        ("manifest.toml", "packages = 1"),
        ("manifest.toml", "= ="),
        ("manifest.toml", "packages = [{ version = 1 }]"),
        ("mix.lock", "%{" + " " * lockfile.SIZE_MAX),
    ],
)
def test_what_is_no_lock_file_is_malformed(name: str, text: str) -> None:
    with pytest.raises(Malformed):
        lockfile.parse(name, text)


@given(st.sampled_from(["mix.lock", "manifest.toml"]), st.text(max_size=200))
def test_no_text_makes_it_fail_in_an_unforeseen_way(name: str, text: str) -> None:
    for prefix in ("", "%{\n", "["):
        try:
            lockfile.parse(name, prefix + text)
        except Malformed:
            continue
