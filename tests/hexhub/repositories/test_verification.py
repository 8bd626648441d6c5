"""What is believed of an upstream: its key, and that a registry never goes back."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed, Refused, UpstreamWrong
from hexhub.formats import registry as wire, registry_chunks, signing_key
from hexhub.repositories import verification

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GOLDEN = Path(__file__).parents[2] / "golden"


def test_the_built_in_key_is_that_of_hex_pm() -> None:
    known = json.loads((GOLDEN / "keys.json").read_text())["hexpm_fingerprint"]
    assert known == "SHA256:O1LOYhHFW4kcrblKAxROaDEzLD8bn1seWbe5tq8TRsk"
    assert signing_key.fingerprint(verification.public_key(None)) == known


def test_a_key_file_that_holds_no_key_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    with pytest.raises(Refused, match="cannot read"):
        verification.public_key(file)
    file.write_text("nothing")
    with pytest.raises(Refused, match="UPSTREAM_PUBLIC_KEY_FILE"):
        verification.public_key(file)


def _package(**releases: timedelta) -> wire.RegistryPackage:
    """Versions `1.N.0` by N, with how long before NOW each was published."""
    return wire.RegistryPackage(
        "pine",
        "hexpm",
        tuple(
            wire.RegistryRelease(f"1.{name[1:]}.0", bytes(32), bytes(32), published_at=NOW - age)
            for name, age in releases.items()
        ),
    )


OLD, YOUNG = timedelta(days=90), timedelta(hours=2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"v1": OLD}, {"v1": OLD, "v2": YOUNG}),
        ({"v1": OLD, "v2": YOUNG}, {"v1": OLD}),
        ({"v1": OLD, "v2": OLD}, {"v2": OLD, "v3": YOUNG}),
        ({"v1": OLD}, {"v1": OLD}),
    ],
    ids=["published", "reverted while young", "removed, and one published", "the same"],
)
def test_steps_forward_are_believed(
    before: dict[str, timedelta], after: dict[str, timedelta]
) -> None:
    verification.no_step_back(_package(**before), _package(**after), NOW)


def test_a_package_that_lost_an_old_release_and_won_nothing_is_a_replay() -> None:
    with pytest.raises(UpstreamWrong, match=r"1\.2\.0 is gone"):
        verification.no_step_back(_package(v1=OLD, v2=OLD), _package(v1=OLD), NOW)


def _names(**changed: int) -> dict[str, bytes]:
    """Entries of `names`: how many days ago each package changed."""
    return {
        name: wire.names_chunk(wire.NamesEntry(name, NOW - timedelta(days=days)))
        for name, days in changed.items()
    }


def test_names_with_older_dates_are_a_replay_and_with_newer_ones_are_not() -> None:
    old = _names(**{f"p{n}": 9 for n in range(9)})
    newer = old | _names(p1=1)
    verification.no_older_list(old, newer, dated=True)
    older = old | _names(**{f"p{n}": 20 for n in range(9)})
    with pytest.raises(UpstreamWrong, match="rolled back"):
        verification.no_older_list(old, older, dated=True)


def _versions(count: int, releases: int) -> dict[str, bytes]:
    return {
        f"p{n}": wire.versions_chunk(
            wire.VersionsEntry(f"p{n}", tuple(f"1.{m}.0" for m in range(releases)))
        )
        for n in range(count)
    }


def test_versions_that_only_lost_are_a_replay() -> None:
    with pytest.raises(UpstreamWrong, match="rolled back"):
        verification.no_older_list(_versions(9, 3), _versions(9, 2), dated=False)
    with pytest.raises(UpstreamWrong, match="rolled back"):
        verification.no_older_list(_versions(9, 3), _versions(2, 3), dated=False)
    verification.no_older_list(_versions(9, 3), _versions(9, 4), dated=False)
    verification.no_older_list(_versions(9, 3), _versions(8, 3), dated=False)


def test_lists_are_split_and_joined_without_a_change() -> None:
    payload = wire.encode_versions(
        "hexpm",
        [wire.VersionsEntry("a", ("1.0.0",)), wire.VersionsEntry("b" * 200, ("2.0.0",) * 40, (1,))],
    )
    repository, entries = registry_chunks.split(payload)
    assert (repository, list(entries)) == ("hexpm", ["a", "b" * 200])
    assert wire.join(entries.values(), repository) == payload


@given(st.binary(max_size=300))
def test_no_bytes_make_the_split_of_a_list_fail_in_an_unforeseen_way(data: bytes) -> None:
    with suppress(Malformed):
        registry_chunks.split(data)


@given(st.data())
def test_a_cut_list_is_malformed_or_shorter(data: st.DataObject) -> None:
    payload = wire.encode_names("hexpm", [wire.NamesEntry(f"p{n}", NOW) for n in range(5)])
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(Malformed):
        registry_chunks.split(payload[:cut])


ARCHIVES = sorted((GOLDEN / "docs").glob("*.tar.gz"))


def _is_refused(body: bytes) -> bool:
    try:
        verification.archive(body)
    except UpstreamWrong:
        return True
    return False


def test_docs_archives_are_passed_on_whatever_is_in_them() -> None:
    told = {path.name: _is_refused(path.read_bytes()) for path in ARCHIVES}
    assert [name for name, refused in told.items() if refused] == ["plain_tar.tar.gz"]


def test_a_cut_docs_archive_is_refused_wherever_it_is_cut() -> None:
    body = (GOLDEN / "docs" / "no_index.tar.gz").read_bytes()
    assert all(_is_refused(body[:size]) for size in range(len(body)))
    assert _is_refused(b"<html></html>")
