"""Keys sort part by part, declarations are checked where they are made."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from cluster import KeyInvalid, Record, Schema
from cluster.table import after, bounded, pack, unpack

part = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
parts = st.lists(part, min_size=1, max_size=4).map(tuple)


@given(parts, parts)
def test_packed_keys_sort_as_their_parts_do(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    assert (pack(a) < pack(b)) == (a < b)


@given(parts)
def test_a_packed_key_gives_its_parts_back(key: tuple[str, ...]) -> None:
    assert unpack(pack(key)) == key


@given(parts, parts)
def test_the_keys_under_a_prefix_are_those_before_its_end(
    prefix: tuple[str, ...], key: tuple[str, ...]
) -> None:
    inside = pack(prefix) <= pack(key) < after(pack(prefix))
    assert inside == (key[: len(prefix)] == prefix)


@given(parts, parts)
def test_every_key_that_goes_on_from_a_prefix_is_inside(
    prefix: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    assert pack(prefix) <= pack(prefix + rest) < after(pack(prefix))


@pytest.mark.parametrize("bad", ["a\x00b", "\x00", "\ud800"])
def test_a_part_that_cannot_be_packed_is_refused(bad: str) -> None:
    with pytest.raises(KeyInvalid):
        pack(("fine", bad))


def test_a_key_longer_than_lmdb_allows_is_refused() -> None:
    assert bounded(b"k" * 511)
    with pytest.raises(KeyInvalid):
        bounded(b"k" * 512)


def test_a_declaration_that_cannot_work_is_refused() -> None:
    class Row(Record, kw_only=True):
        name: str

    schema = Schema(number=2)
    with pytest.raises(TypeError, match="no field"):
        schema.table("rows", key=("id",))(Row)
    with pytest.raises(TypeError, match="has no"):
        schema.table("rows", key=("name",), indexes={"other": ("missing",)})(Row)
    with pytest.raises(TypeError, match="no name"):
        schema.table("Rows!", key=("name",))(Row)
    with pytest.raises(TypeError, match="no key"):
        schema.table("rows", key=())(Row)
    schema.table("rows", key=("name",))(Row)
    with pytest.raises(TypeError, match="twice"):
        schema.table("rows", key=("name",))(Row)
    with pytest.raises(TypeError, match="no place"):
        schema.migration(3)(lambda tx: None)
