"""Erlang's external term format: known bytes, round trips, and hostile messages."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.erlang_external import BIGNUM_SIZE_MAX, DEPTH_MAX, TERMS_MAX, decode, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
binaries = st.binary(max_size=20)
integers = st.integers(-(2**2039), 2**2039)
floats = st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"\x83w\x03nil"),
        (True, b"\x83w\x04true"),
        (False, b"\x83w\x05false"),
        (0, b"\x83a\x00"),
        (255, b"\x83a\xff"),
        (256, b"\x83b\x00\x00\x01\x00"),
        (-1, b"\x83b\xff\xff\xff\xff"),
        (2**31, b"\x83n\x04\x00\x00\x00\x00\x80"),
        (-(2**31) - 1, b"\x83n\x04\x01\x01\x00\x00\x80"),
        (1.5, b"\x83F\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        ("å", b"\x83m\x00\x00\x00\x02\xc3\xa5"),
        ([], b"\x83j"),
        ([1, "a"], b"\x83l\x00\x00\x00\x02a\x01m\x00\x00\x00\x01aj"),
        ({"a": []}, b"\x83t\x00\x00\x00\x01m\x00\x00\x00\x01aj"),
    ],
)
def test_a_value_has_one_spelling(value: object, data: bytes) -> None:
    assert encode(value) == data
    decoded = decode(data)
    assert decoded == value
    assert type(decoded) is type(value)


def test_bytes_and_tuples_are_written_as_binaries_and_lists() -> None:
    assert encode((b"\xff",)) == b"\x83l\x00\x00\x00\x01m\x00\x00\x00\x01\xffj"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x83d\x00\x04true", True),
        (b"\x83s\x05false", False),
        (b"\x83v\x00\x03nil", None),
        (b"\x83w\x04null", None),
        (b"\x83d\x00\x09undefined", None),
        (b"\x83d\x00\x05admin", "admin"),
        (b"\x83s\x01\xe5", "å"),
        (b"\x83w\x02\xc3\xa5", "å"),
        (b"\x83w\x00", ""),
        (b"\x83k\x00\x02\x01\xff", [1, 255]),
        (b"\x83h\x02a\x01a\x02", (1, 2)),
        (b"\x83i\x00\x00\x00\x01j", ([],)),
        (b"\x83m\x00\x00\x00\x01\xff", b"\xff"),
        (b"\x83o\x00\x00\x00\x01\x01\x07", -7),
        (b"\x83n\x00\x00", 0),
        (b"\x83c1.50000000000000000000e+00\0\0\0\0\0", 1.5),
        (b"\x83c-2.50000000000000000000e-01\0\0\0\0", -0.25),
        (b"\x83t\x00\x00\x00\x02d\x00\x01aa\x01m\x00\x00\x00\x01aa\x02", {"a": 2}),
        (b"\x83t\x00\x00\x00\x01w\x04truea\x01", {"true": 1}),
        (b"\x83t\x00\x00\x00\x01w\x03nila\x01", {"nil": 1}),
    ],
)
def test_every_accepted_spelling_is_read(data: bytes, value: object) -> None:
    decoded = decode(memoryview(data))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x82a\x01", id="another version"),
        pytest.param(b"\x83", id="no term"),
        pytest.param(b"\x83a", id="cut integer"),
        pytest.param(b"\x83a\x01\x00", id="trailing byte"),
        pytest.param(b"\x83P\x00\x00\x00\x02" + zlib.compress(b"a\x01"), id="compressed"),
        pytest.param(b"\x83p" + bytes(40), id="fun"),
        pytest.param(b"\x83q" + b"w\x01aw\x01aa\x01", id="export"),
        pytest.param(b"\x83gw\x01a" + bytes(9), id="pid"),
        pytest.param(b"\x83Xw\x01a" + bytes(12), id="new pid"),
        pytest.param(b"\x83fw\x01a" + bytes(5), id="port"),
        pytest.param(b"\x83Z\x00\x01w\x01a" + bytes(8), id="reference"),
        pytest.param(b"\x83M\x00\x00\x00\x01\x04\xf0", id="bit string"),
        pytest.param(b"\x83R\x00", id="atom cache reference"),
        pytest.param(b"\x83\x83a\x01", id="version twice"),
        pytest.param(b"\x83l\x00\x00\x00\x01a\x01a\x02", id="improper list"),
        pytest.param(b"\x83l\xff\xff\xff\xffj", id="list count beyond the data"),
        pytest.param(b"\x83i\xff\xff\xff\xffj", id="tuple count beyond the data"),
        pytest.param(b"\x83t\xff\xff\xff\xffj", id="map count beyond the data"),
        pytest.param(b"\x83m\xff\xff\xff\xffa", id="binary beyond the data"),
        pytest.param(b"\x83k\x00\x03ab", id="string beyond the data"),
        pytest.param(b"\x83d\x00\x09a", id="atom beyond the data"),
        pytest.param(b"\x83w\x01\xff", id="atom not UTF-8"),
        pytest.param(b"\x83d\x01\x00" + b"a" * 256, id="atom too long"),
        pytest.param(b"\x83n\x01\x02\x01", id="unknown sign"),
        pytest.param(b"\x83o" + struct.pack(">I", 10**6) + bytes(10**6 + 1), id="giant integer"),
        pytest.param(b"\x83F\x7f\xf8\x00\x00\x00\x00\x00\x00", id="not a number"),
        pytest.param(b"\x83F\xff\xf0\x00\x00\x00\x00\x00\x00", id="infinite"),
        pytest.param(b"\x83c" + b"nan".ljust(31, b"\0"), id="old not a number"),
        pytest.param(b"\x83c" + b"9.0e999".ljust(31, b"\0"), id="old infinite"),
        pytest.param(b"\x83c" + b"1_0.0e0".ljust(31, b"\0"), id="old with underscore"),
        pytest.param(b"\x83t\x00\x00\x00\x01a\x01a\x01", id="integer key"),
        pytest.param(b"\x83t\x00\x00\x00\x01m\x00\x00\x00\x01\xffa\x01", id="binary key"),
        pytest.param(b"\x83t\x00\x00\x00\x01ja\x01", id="list key"),
    ],
)
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_nesting_has_a_bound() -> None:
    def nested(depth: int) -> bytes:
        return b"\x83" + b"l\x00\x00\x00\x01" * depth + b"j" * (depth + 1)

    assert decode(nested(DEPTH_MAX)) is not None
    for data in (nested(DEPTH_MAX + 1), nested(100_000), b"\x83" + b"h\x01" * 500_000):
        with pytest.raises(Malformed, match="nested deeper"):
            decode(data)


def test_the_number_of_terms_has_a_bound() -> None:
    def listed(count: int) -> bytes:
        return b"\x83l" + struct.pack(">I", count) + b"j" * (count + 1)

    assert decode(listed(TERMS_MAX - 1)) == [[]] * (TERMS_MAX - 1)
    strings = b"\x83l\x00\x00\x00\x02" + (b"k\xff\xff" + bytes(65535)) * 2 + b"j"
    for data in (listed(TERMS_MAX), listed(7_900_000), strings):
        with pytest.raises(Malformed, match="more than"):
            decode(data)


def test_a_hostile_message_takes_little_memory() -> None:
    data = b"\x83l" + struct.pack(">I", 7_900_000) + b"j" * 7_900_001
    tracemalloc.start()
    with pytest.raises(Malformed):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_the_largest_integer_is_read() -> None:
    data = b"\x83o" + struct.pack(">IB", BIGNUM_SIZE_MAX, 0) + b"\xff" * BIGNUM_SIZE_MAX
    assert decode(data) == 256**BIGNUM_SIZE_MAX - 1


@given(values)
def test_a_value_survives_its_term(value: object) -> None:
    decoded = decode(encode(value))
    assert decoded == value
    assert repr(decoded) == repr(value)  # tells 1 from True and 1.0


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\x83" + data))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode(data)


@given(values, st.data())
def test_a_mutated_term_is_a_value_or_malformed(value: object, data: st.DataObject) -> None:
    term = bytearray(encode(value))
    term[data.draw(st.integers(0, len(term) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        decode(bytes(term[: data.draw(st.integers(0, len(term)))]))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({1: 2}, TypeError),
        (object(), TypeError),
        ({"a"}, TypeError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (256**255, ValueError),
    ],
)
def test_a_value_without_a_term_is_a_mistake_of_the_caller(
    value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        encode(value)


def test_an_endless_value_is_a_mistake_of_the_caller() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested deeper"):
        encode(loop)
