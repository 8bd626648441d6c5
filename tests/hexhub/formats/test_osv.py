"""Reading advisories of the OSV format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats import cvss_score, osv

HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"
V4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


def advisory(**changed: Any) -> dict[str, Any]:
    return {
        "id": "EEF-CVE-2026-0001",
        "modified": "2026-02-03T04:05:06Z",
        "published": "2026-01-02T03:04:05Z",
        "summary": "Acorns  explode",
        "aliases": ["CVE-2026-0001"],
        "severity": [{"type": "CVSS_V3", "score": HIGH}],
        "references": [{"type": "WEB", "url": "https://example.org/a"}],
        "affected": [
            {
                "package": {"ecosystem": "Hex", "name": "acorn", "purl": "pkg:hex/acorn"},
                "ranges": [
                    {"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]},
                    {"type": "GIT", "events": [{"introduced": "abc"}]},
                ],
                "versions": ["2.0.0-rc.1", "no version"],
            },
            {"package": {"ecosystem": "npm", "name": "acorn"}},
        ],
    } | changed


def test_an_advisory_is_read() -> None:
    entry = osv.read(advisory())

    assert entry.summary == "Acorns explode"
    assert (entry.vector, entry.score, entry.rating) == (HIGH, 7.5, "high")
    (about,) = entry.affected
    assert about == osv.Affected(
        "hexpm", "acorn", (osv.Range(None, "1.2.0"),), versions=("2.0.0-rc.1",)
    )
    assert entry.withdrawn_at is None


def test_a_package_of_an_organization_is_told_by_its_purl() -> None:
    package = {"ecosystem": "Hex", "name": "forest/acorn", "purl": "pkg:hex/forest/acorn"}
    (about,) = osv.read(advisory(affected=[{"package": package}])).affected
    assert (about.repository, about.package) == ("forest", "acorn")


def test_the_newest_kind_of_score_wins_and_words_do_without() -> None:
    both = [{"type": "CVSS_V3", "score": HIGH}, {"type": "CVSS_V4", "score": V4}]
    assert osv.read(advisory(severity=both)).vector == V4
    words = osv.read(advisory(severity=[], database_specific={"severity": "MODERATE"}))
    assert (words.score, words.rating) == (None, "medium")


def test_ranges_open_and_close_in_order() -> None:
    events = [
        {"introduced": "1.0.0"},
        {"last_affected": "1.3.0"},
        {"introduced": "2.0.0"},
    ]
    package = {"ecosystem": "Hex", "name": "acorn"}
    ranges = [{"type": "SEMVER", "events": events}]
    (about,) = osv.read(advisory(affected=[{"package": package, "ranges": ranges}])).affected
    assert about.ranges == (osv.Range("1.0.0", None, "1.3.0"), osv.Range("2.0.0"))


@pytest.mark.parametrize(
    "changed",
    [{"id": None}, {"id": "a b"}, {"modified": None}, {"modified": "soon"}, {"withdrawn": 7}],
)
def test_what_cannot_be_kept_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        osv.read(advisory(**changed))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(field=st.sampled_from(sorted(advisory())), value=json_values)
def test_wrong_types_are_refused_or_left_out(field: str, value: object) -> None:
    try:
        osv.read(advisory() | {field: value})
    except Malformed:
        assert field in ("id", "modified", "published", "withdrawn")


@given(vector=st.text() | st.just(HIGH).map(lambda text: text[:-1]))
def test_a_broken_vector_has_no_score(vector: str) -> None:
    assert cvss_score.score(vector) is None


def test_scores_have_words() -> None:
    words = [cvss_score.rating(value) for value in (0.0, 0.1, 4.0, 7.0, 9.0)]
    assert words == ["none", "low", "medium", "high", "critical"]
