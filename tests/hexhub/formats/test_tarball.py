"""Package tarballs: every golden file, and what a publisher may not send."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import tracemalloc
from collections.abc import Callable
from pprint import pformat
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.tarball import (
    CONTENTS_SIZE_MAX,
    METADATA_SIZE_MAX,
    TARBALL_SIZE_MAX,
    TakesLonger,
    Tarball,
    read,
    read_metadata,
    read_quickly,
)
from tests.hexhub.formats.archives import (
    END,
    METADATA,
    directory,
    extended,
    file,
    gzip,
    header,
    package,
    padded,
    record,
)
from tests.hexhub.formats.golden import GOLDEN, load, read as golden, value

GOOD = load("good.json")
BAD = load("bad.json")
LENIENT = load("lenient.json")


def refused(data: bytes) -> str:
    """Why a tarball is refused."""
    with pytest.raises(Malformed) as caught:
        read(data)
    return str(caught.value)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["file"])
def test_a_good_tarball_is_read_to_what_the_real_library_says(case: dict[str, Any]) -> None:
    tarball = read(golden(f"good/{case['file']}"))
    assert (tarball.name, tarball.version, tarball.size) == (
        case["name"],
        case["version"],
        case["size"],
    )
    assert tarball.inner_checksum.hex() == case["inner_checksum"]
    assert tarball.outer_checksum.hex() == case["outer_checksum"]
    assert pformat(tarball.metadata) == pformat(value(case["metadata"]))  # tells 1 from True
    assert [(e.path, e.type, e.size, e.mode) for e in tarball.files] == [
        (e["path"], e["type"], e["size"], int(e["mode"], 8) & 0o7777)
        for e in case["contents_entries"]
    ]
    assert tarball.contents_size == sum(e["size"] for e in case["contents"])
    odd = case["file"].startswith("odd_values")
    assert tarball.warnings == (
        ('"zero.bin" is in the contents but not listed in files',) if odd else ()
    )


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["file"])
def test_the_first_pass_reads_all_but_the_contents(case: dict[str, Any]) -> None:
    data = golden(f"good/{case['file']}")
    whole, first = read(data), read_metadata(data)
    assert first.files == ()
    assert (first.name, first.version, first.metadata) == (
        whole.name,
        whole.version,
        whole.metadata,
    )
    assert (first.inner_checksum, first.outer_checksum) == (
        whole.inner_checksum,
        whole.outer_checksum,
    )


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["file"])
def test_a_bad_tarball_is_refused(case: dict[str, Any]) -> None:
    assert refused(golden(f"bad/{case['file']}"))


@pytest.mark.parametrize("case", LENIENT, ids=lambda case: case["file"])
def test_an_odd_tarball_is_accepted_only_when_recommended(case: dict[str, Any]) -> None:
    data = golden(f"lenient/{case['file']}")
    if case["file"] == "metadata_only_name.tar":
        # Missing keys are refused where each has a text of its own (http-api.md §3.7).
        assert (read(data).name, read(data).version) == ("x", None)
    elif case["recommended"] == "accept":
        assert read(data).name
    else:
        assert refused(data)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing_checksum", 'missing files: ["CHECKSUM"]'),
        ("missing_metadata", 'missing files: ["metadata.config"]'),
        ("version_2", 'unsupported version: <<"2">>'),
        ("version_newline", 'unsupported version: <<"3\\n">>'),
        ("version_too_long", "file too big: VERSION"),
        ("checksum_mismatch", "tarball checksum mismatch: CHECKSUM says 000000"),
        ("checksum_short", "invalid checksum: CHECKSUM must be 64 hex digits"),
        ("empty_file", "tarball error, unexpected end of file"),
        ("garbage", "tarball error, not a tar"),
        ("outer_gzipped", "tarball error, not a tar"),
        ("outer_huge_size", "file too big: VERSION"),
        ("outer_path_traversal", 'unexpected file: "../escaped_outer.txt"'),
        ("metadata_comment", 'error reading package metadata: illegal characters "%"'),
        ("metadata_empty", "error reading package metadata: invalid terms"),
        ("contents_path_traversal", 'inner tarball error, unsafe path: "../evil.txt"'),
        ("contents_pax_path_traversal", 'inner tarball error, unsafe path: "../../pax_evil.txt"'),
        (
            "contents_symlink_absolute",
            'inner tarball error, unsafe symlink: "link" -> "/etc/passwd"',
        ),
        ("contents_sparse_bomb", 'inner tarball error, "sparse.bin" is a sparse file'),
        ("contents_bad_gzip_crc", "inner tarball error, not gzip, or damaged"),
        ("contents_gz_trailing_garbage", "inner tarball error, bytes after the gzip member"),
    ],
)
def test_an_error_says_what_is_wrong(name: str, text: str) -> None:
    assert refused(golden(f"bad/{name}.tar")).startswith(text)


def test_what_mix_builds_of_a_trailing_backslash_is_refused_with_a_hint() -> None:
    text = refused(golden("bad/built_by_mix_but_unreadable.tar"))
    assert text.startswith("error reading package metadata: illegal ")
    assert "end in a backslash" in text


def test_a_tarball_has_a_size() -> None:
    data = package()
    assert refused(data + bytes(TARBALL_SIZE_MAX + 1 - len(data))) == "too big"
    assert read(data + bytes(TARBALL_SIZE_MAX - len(data))).size == TARBALL_SIZE_MAX


def test_metadata_has_a_size() -> None:
    blanks = b" " * (METADATA_SIZE_MAX - len(METADATA))
    assert read(package(metadata=METADATA + blanks)).name == "demo"
    assert refused(package(metadata=METADATA + blanks + b" ")) == "file too big: metadata.config"


OUTER = package(file("a"))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (OUTER[:-1024] + file("README") + END, 'unexpected file: "README"'),
        (OUTER[:-1024] + file("VERSION", b"3") + END, "the file VERSION appears twice"),
        (OUTER[:-1024] + directory("VERSION") + END, "VERSION is a directory"),
        (
            extended(record("path", "VERSION")) + header("x", 1) + padded(b"3") + OUTER[1024:],
            'unexpected file: "VERSION"',
        ),
        (
            extended(record("comment", "x")) + OUTER,
            'unexpected file: "VERSION"',
        ),
        (header("VERSION", flag=b"1", target="CHECKSUM") + OUTER[1024:], "tarball error, "),
        (OUTER + b"x", "tarball error, bytes after the end"),
        (OUTER[:-1024], "tarball error, unexpected end"),
    ],
)
def test_the_outer_tar_is_exactly_four_plain_files(data: bytes, text: str) -> None:
    assert refused(data).startswith(text)


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (b'{<<"name">>,<<"other">>}.', '"name" appears twice'),
        (b'{<<"x">>,<<255>>}.', "not UTF-8"),
        (b'{<<"x">>,[{<<"y">>,[<<255>>]}]}.', "not UTF-8"),
        (b'{<<"x">>,<<97,0>>}.', "NUL"),
        (b'{<<"x">>,#{<<"y">> => {<<0>>}}}.', "NUL"),
        (b'{<<"x">>,#{<<0>> => 1}}.', "NUL"),
        (b'{<<"x">>,#{true => 1}}.', "not text"),
        (b'{<<"x">>,#{<<255>> => 1}}.', "not text"),
        (b"{<<0>>,1}.", "NUL"),
        (b'{<<"requirements">>,[[]]}.', "no name"),
        (b'{<<"requirements">>,[[1]]}.', "not a list of pairs"),
    ],
)
def test_metadata_that_could_not_be_stored_is_refused(pair: bytes, text: str) -> None:
    reason = refused(package(metadata=METADATA + pair))
    assert reason.startswith("error reading package metadata: ")
    assert text in reason


@pytest.mark.parametrize(
    "name", ["hex_metadata.config", "HEX_metadata.config", "hex_metadata.config/x"]
)
def test_the_name_that_clients_write_to_is_reserved(name: str) -> None:
    assert "the name is reserved" in refused(package(file(name)))
    assert read(package(file(f"lib/{name}"))).files


def test_oddities_that_are_no_reason_to_refuse_are_told() -> None:
    metadata = METADATA + b'{<<"files">>,[<<"lib">>,<<"lib/a.ex">>,<<"gone">>,<<"empty/">>]}.'
    tarball = read(
        package(
            file("lib/a.ex") + file("lib/A.ex") + directory("empty"),
            metadata=metadata,
        )
    )
    assert tarball.warnings == (
        '"lib/A.ex" and "lib/a.ex" differ only in case',
        '"gone" is listed in files but not in the contents',
        '"lib/A.ex" is in the contents but not listed in files',
    )


def test_the_number_of_warnings_is_bounded() -> None:
    files = b"".join(file(f"f{number}") for number in range(100))
    assert len(read(package(files, metadata=METADATA + b'{<<"files">>,[]}.')).warnings) == 20


def test_a_mapped_file_can_be_closed_after_reading() -> None:
    with (GOLDEN / "good/minimal-1.0.0.tar").open("rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        tarball = read(data)
        data.close()
    assert tarball.name == "minimal"


@pytest.mark.parametrize(
    "case", [case for case in BAD if case["size"]], ids=lambda case: case["file"]
)
def test_a_mapped_file_can_be_closed_while_its_error_is_handled(case: dict[str, Any]) -> None:
    with (GOLDEN / f"bad/{case['file']}").open("rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        with pytest.raises(Malformed) as caught:
            read(data)
        data.close()
        assert str(caught.value)


@pytest.mark.parametrize("size", [CONTENTS_SIZE_MAX, CONTENTS_SIZE_MAX + 1, 12 * CONTENTS_SIZE_MAX])
def test_contents_are_never_whole_in_memory(size: int) -> None:
    megabyte = bytes(2**20)
    zeros = [megabyte] * (size // 2**20 + 1) if size <= 2 * CONTENTS_SIZE_MAX else [megabyte]
    data = package(contents=gzip([header("z", size), *zeros[:-1], bytes(size % 2**20), END]))
    tracemalloc.start()
    if size > CONTENTS_SIZE_MAX:
        assert refused(data) == "inner tarball error, too big (uncompressed)"
    else:
        assert read(data).contents_size == size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def said(reading: Callable[[bytes], Tarball], data: bytes) -> Tarball | str:
    try:
        return reading(data)
    except Malformed as error:
        return str(error)


@pytest.mark.parametrize("case", [*GOOD, *BAD, *LENIENT], ids=lambda case: case["file"])
def test_a_quick_reading_says_the_same_or_nothing(case: dict[str, Any]) -> None:
    (path,) = GOLDEN.glob(f"*/{case['file']}")
    data = path.read_bytes()
    with contextlib.suppress(TakesLonger):
        assert said(read_quickly, data) == said(read, data)


@pytest.mark.parametrize(
    ("data", "long"),
    [
        (package(), False),
        (package(file("a", bytes(100_000))), False),
        (package(file("a", bytes(200_000))), True),
        (package(b"x" * 5_000_000), False),  # wrong from its first bytes on
        (package(file("a", bytes(200_000)) + b"x" * 1000), True),
        (package(metadata=METADATA + b'{<<"a">>,[' + b"1," * 2000 + b"1]}.\n"), False),
        (package(metadata=METADATA + b'{<<"a">>,[' + b"1," * 4000 + b"1]}.\n"), True),
    ],
)
def test_what_takes_longer_is_not_begun_quickly(data: bytes, long: bool) -> None:
    if long:
        with pytest.raises(TakesLonger):
            read_quickly(data)
    else:
        assert said(read_quickly, data) == said(read, data)


@given(st.binary(max_size=700))
def test_any_bytes_are_malformed(data: bytes) -> None:
    for each in (data, padded(data) + END, package(contents=data), package(metadata=data)):
        with pytest.raises(Malformed):
            read(each)


@given(st.data())
def test_a_changed_tarball_is_another_one_or_malformed(data: st.DataObject) -> None:
    original = golden("good/minimal-1.0.0.tar")
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert read(bytes(changed)).outer_checksum == hashlib.sha256(changed).digest()
