"""metadata.config: every golden case, the client's own bug, and hostile texts."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.erlang_text import DEPTH_MAX, DIGITS_MAX, SIZE_MAX, parse_config, parse_pairs
from tests.hexhub.formats.golden import UnknownAtom, load, value

CASES = load("metadata/cases.json")
KINDS = {
    "{:metadata, {:illegal": "illegal characters ",
    "{:metadata, {:user": "illegal atom ",
    "{:metadata, :invalid_terms": "invalid terms",
    "{:metadata, :not_key_value": "not in key-value format",
}
# The library keeps keys that are no text; nobody could tell what they mean.
KEY_NOT_TEXT = {
    *("file/key_atom", "file/key_list_of_codepoints_equals_string", "file/key_latin1"),
    "value/map_dup",
}
# Atoms that every Erlang node knows, which mean nothing here either.
MEANINGLESS_ATOM = {
    *("value/atom_ok", "value/atom_error", "value/atom_empty_quoted", "value/atom_with_digits"),
    "value/tuple_3",
}
# Such an atom counts where it stands, before what the library complains of.
MEANINGLESS_ATOM_FIRST = {
    *("value/lone_quote_inside", "value/fun_ref", "value/call", "file/ctrl_quote"),
}


def text(value: bytes) -> bytes:
    """A whole file with one key `k`."""
    return b'{<<"k">>,' + value + b"}.\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_text_means_what_the_real_library_says(case: dict[str, Any]) -> None:
    config = base64.b64decode(case["config_base64"])
    result = case["result"]
    if not result["ok"]:
        kind = next(
            (ours for theirs, ours in KINDS.items() if theirs in result.get("error", "")), ""
        )
        assert kind or "crash" in result
        if case["id"] in MEANINGLESS_ATOM_FIRST:
            kind = "illegal atom "
        with pytest.raises(Malformed, match=f"^{kind}"):
            parse_config(config)
    elif case["id"] in KEY_NOT_TEXT:
        with pytest.raises(Malformed, match="not text"):
            parse_config(config)
    elif case["id"] in MEANINGLESS_ATOM:
        with pytest.raises(UnknownAtom):
            value(result["metadata"])
        with pytest.raises(Malformed, match=r"^illegal atom "):
            parse_config(config)
    else:
        metadata = parse_config(config)
        assert metadata == value(result["metadata"])
        assert repr(metadata.get("k")) == repr(value(result["metadata"]).get("k"))


def test_the_excepted_cases_exist() -> None:
    assert {case["id"] for case in CASES} >= (
        KEY_NOT_TEXT | MEANINGLESS_ATOM | MEANINGLESS_ATOM_FIRST
    )


def test_a_text_that_ends_in_a_backslash_gets_a_hint() -> None:
    config = b'{<<"description">>,<<"C:\\\\">>}.\n{<<"name">>,<<"x">>}.\n'
    with pytest.raises(Malformed, match=r"^illegal .*end in a backslash"):
        parse_config(config)


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        (b"<<65/utf16-little>>", "A\0"),
        (b"<<66000/utf16>>", b"\xd8\x00\xdd\xd0"),
        (b'<<"ab"/float>>', b"@X@\0\0\0\0\0@X\x80\0\0\0\0\0"),
        (b"<<1/float-native>>", b"\0\0\0\0\0\0\xf0?"),
        (b"<<256,257,-1>>", b"\x00\x01\xff"),
        (b"<<256,257>>", "\x00\x01"),
        (b"<< 1 , 2 >>", "\x01\x02"),
        (b"<<<<1,2>>/bytes,<<>>/bits,3>>", "\x01\x02\x03"),
        (b"<<1/signed-signed>>", "\x01"),
        (b"<<1/'utf8'>>", "\x01"),
        (b'<<"\\777"/utf8>>', "ǿ"),
        (b'<<"\\777">>', b"\xff"),
        (b"'tr\\ ue'", True),
        (b"00000000000000000000000000000000000000000000001", 1),
        (b"+ 1", 1),
    ],
)
def test_rare_spellings_are_read(spelled: bytes, meant: object) -> None:
    assert parse_config(text(spelled)) == {"k": meant}


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        *((text(b"<<" + value + b">>"), "invalid terms") for value in (b"55296/utf8", b"-1/utf8")),
        *(
            (text(b"<<" + value + b">>"), "invalid terms")
            for value in (b"1/little-big", b"1/binary")
        ),
        *((text(b"<<" + value + b">>"), "invalid terms") for value in (b"<<1>>", b"1/true", b",2")),
        (text(b"zq_no 1 %"), "illegal atom"),  # an illegal token counts where it stands
        (text(b"1 1 zq_no"), "illegal atom"),  # and before the grammar of its form
        (b"true.\n%", "illegal characters"),  # and before the shape of earlier forms
        (b"{1,}.\n%", "invalid terms"),  # but not before the grammar of an earlier form
        (b'{1,"a\\\\"}. \xff', "invalid terms"),
        (b"{1,'true\\\\'}.", "illegal atom"),
        (b"{<<1>>,utf8}.", "illegal atom"),
    ],
)
def test_the_first_error_is_the_one_of_the_real_library(config: bytes, kind: str) -> None:
    with pytest.raises(Malformed, match=f"^{kind}"):
        parse_config(config)


def test_equal_keys_are_refused_when_asked_where_they_say_which_release_this_is() -> None:
    config = b'{<<"name">>,1}.{<<"b">>,2}.{<<"name">>,3}.'
    assert parse_config(config) == {"name": 3, "b": 2}
    with pytest.raises(Malformed, match='"name" appears twice'):
        parse_config(config, unique=True)
    assert parse_pairs(config) == [("name", 1), ("b", 2), ("name", 3)]
    assert parse_config(b'{<<"app">>,1}.{<<"app">>,2}.', unique=True) == {"app": 2}


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        (b"[", b"]"),
        (b"{", b"}"),
        (b"<<", b">>/binary"),
        (b'#{<<"a">> => ', b"}"),
    ],
)
def test_nesting_has_a_bound(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return text((opening * depth + b"<<1>>" + closing * depth).removesuffix(b"/binary"))

    if opening != b"<<":
        assert parse_config(nested(DEPTH_MAX - 2))
    for depth in (DEPTH_MAX + 1, 5_000, 50_000):
        with pytest.raises(Malformed, match=r"nested deeper|invalid terms"):
            parse_config(nested(depth))


def test_an_integer_has_a_bound() -> None:
    assert parse_config(text(b"-" + b"9" * DIGITS_MAX)) == {"k": -(10**DIGITS_MAX - 1)}
    for digits in (DIGITS_MAX + 1, 900_000):
        with pytest.raises(Malformed, match="digits"):
            parse_config(text(b"9" * digits))


@pytest.mark.parametrize("key", [b"1", b"[]", b"{<<1>>}", b'"a"', b"#{}"])
def test_a_map_key_that_is_not_text_is_malformed(key: bytes) -> None:
    with pytest.raises(Malformed, match="not text"):
        parse_config(text(b"#{" + key + b" => 1}"))


@pytest.mark.parametrize("key", ["requirements", "links", "extra"])
def test_a_pair_whose_key_is_not_text_is_malformed(key: str) -> None:
    with pytest.raises(Malformed, match="not text"):
        parse_config(b'{<<"' + key.encode() + b'">>,[{1,2}]}.')


HOSTILE = {
    "strings": b'""' * (SIZE_MAX // 2),
    "escaped quotes": b'"' + b'\\"' * (SIZE_MAX // 2 - 2),
    "escaped quotes in atoms": b"'" + b"\\'" * (SIZE_MAX // 2 - 2),
    "control quotes": b'"' + b'\\^"' * (SIZE_MAX // 3 - 2),
    "backslashes": b'{1,"' + b"\\" * (SIZE_MAX - 5),
    "backslashes and a quote": b'{1,"' + b"\\" * (SIZE_MAX - 6) + b'"',
    "opened binaries": b"<<1" * (SIZE_MAX // 3),
    "byte lists without end": b"<<1,1,1,1,1,1,1,1" * (SIZE_MAX // 18),
    "one byte list without end": b"<<1" + b",1" * (SIZE_MAX // 2 - 2),
    "blanks": b" " * SIZE_MAX,
    "brackets": b"[" * SIZE_MAX,
    "empty lists": b"{1,[" + b"[]," * (SIZE_MAX // 3 - 4) + b"[]]}.",
    "atoms": b"a " * (SIZE_MAX // 2),
    "fresh atoms": b" ".join(b"q%d" % number for number in range(130_000)),
    "one atom": b"a" * SIZE_MAX,
    "signs": b"-" * SIZE_MAX,
    "dots": b"." * SIZE_MAX,
    "forms": b"{1,2}." * (SIZE_MAX // 6),
    "joined strings": b"{1," + b'"a"' * (SIZE_MAX // 3 - 4) + b"}.",
    "specifiers": b"{1,<<1/" + b"big-" * (SIZE_MAX // 4 - 6) + b"big>>}.",
    "floats": b"{1,<<1/float" + b",1/float" * (SIZE_MAX // 8 - 4) + b">>}.",
    "not UTF-8 at the end": b"{1," + b'"\xc3\xa5"' * (SIZE_MAX // 4 - 4) + b"}.\xff",
    "too big": b" " * (SIZE_MAX + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_of_full_size_is_malformed(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_config(HOSTILE[name])
    assert len(str(caught.value)) < 300


FRAGMENTS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        "<<",
        ">>",
        "#{",
        "=>",
        '"',
        "'",
        "\\",
        "^",
        "a",
        "1",
        "-",
        "+",
        "/",
    ),
    *("utf8", "little", "true", "nil", "zq", ".", " ", "%", '<<"x">>', "å", "\x00", "<<1,2>>"),
    *('{<<"extra">>,', '{<<"requirements">>,[', '{<<"files">>,[<<"mix.exs">>]}.', "}."),
]


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(lambda parts: "".join(parts).encode())
    | st.binary(max_size=60)
)
def test_any_bytes_are_metadata_or_malformed(config: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert all(isinstance(key, str) for key in parse_config(config))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


def spell(value: object) -> str:
    """A value the way publishing tools write it, texts as lists of bytes."""
    match value:
        case None:
            return "undefined"
        case bool():
            return str(value).lower()
        case str():
            return "<<" + ",".join(str(byte) for byte in value.encode()) + ">>"
        case list():
            return "[" + ",".join(map(spell, value)) + "]"
        case tuple():
            return "{" + ",".join(map(spell, value)) + "}"
        case dict():
            return "#{" + ",".join(f"{spell(k)} => {spell(v)}" for k, v in value.items()) + "}"
        case _:
            return str(value)


@given(st.dictionaries(texts.map(lambda key: "x" + key), values, max_size=4))
def test_metadata_survives_its_text(metadata: dict[str, object]) -> None:
    config = "".join(f"{{{spell(key)},{spell(value)}}}.\n" for key, value in metadata.items())
    if metadata:
        assert repr(parse_config(config.encode())) == repr(metadata)
