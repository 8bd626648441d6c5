"""The tar reader and the rules for paths and links, met through documentation archives."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings, strategies as st

from hexhub.errors import Malformed
from hexhub.formats import docs_archive, file_tree
from hexhub.formats.file_tree import Entry, FileTree
from hexhub.formats.tar_stream import read_tar
from tests.hexhub.formats.archives import (
    BLOCK,
    END,
    directory,
    docs,
    extended,
    file,
    gzip,
    header,
    padded,
    record,
    symlink,
)

LONG = "/".join(["directory"] * 30) + "/ä.txt"


def entries(*parts: bytes) -> list[Entry]:
    """What an archive of these parts holds beside its index page."""
    return list(docs_archive.check(docs(b"".join(parts))).files[1:])


def refused(*parts: bytes) -> str:
    """Why an archive of these parts is refused."""
    with pytest.raises(Malformed) as caught:
        entries(*parts)
    return str(caught.value)


def test_every_dialect_of_a_name_is_read() -> None:
    found = entries(
        file("plain"),
        header("old", magic=bytes(8)),
        header("old_directory/", magic=bytes(8)),
        header("gnu", magic=b"ustar  \0", fields={345: b"00000000000\0"}),
        header("base", fields={345: b"prefix/of"}),
        extended(record("path", LONG) + record("mtime", "1.5")) + header("short"),
        extended(LONG[:-6].encode() + b"gnu\0", b"L") + header("short"),
        extended(record("linkpath", "directory/" + "x" * 200)) + header("link", flag=b"2"),
        extended(b"y" * 200, b"K") + header("gnu_link", flag=b"2", target="short"),
        extended(record("comment", "nothing of interest")) + header("commented"),
        header("large", fields={124: b"\x80" + bytes(11)}),
        header("blanks", fields={124: b"          0\0", 100: b"   644 \0"}),
        directory("empty/"),
        directory("./dot/"),
        file("./dot/./x"),
        directory("./"),
    )
    assert [(entry.path, entry.type) for entry in found] == [
        ("plain", "regular"),
        ("old", "regular"),
        ("old_directory", "directory"),
        ("gnu", "regular"),
        ("prefix/of/base", "regular"),
        (LONG, "regular"),
        (LONG[:-6] + "gnu", "regular"),
        ("link", "symlink"),
        ("gnu_link", "symlink"),
        ("commented", "regular"),
        ("large", "regular"),
        ("blanks", "regular"),
        ("empty", "directory"),
        ("dot", "directory"),
        ("dot/x", "regular"),
    ]
    assert found[7].target == "directory/" + "x" * 200
    assert found[8].target == "y" * 200
    assert found[11].mode == 0o644


@pytest.mark.parametrize(
    "name",
    [
        *(
            "back\\slash.txt",
            'quote"d.txt',
            "we ird",
            " ",
            "ünï/日本",
            "a..b",
            "..a",
            "...",
            "aa:b",
        ),
        *("-rf", "nul", "a\nb", "~", "$HOME", "x/..y/z", "a\\b..\\c"),
    ],
)
def test_a_strange_name_is_legal(name: str) -> None:
    assert [entry.path for entry in entries(file(name, b"x"))] == [name]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "..",
            "../x",
            "a/..",
            "a/../b",
            "a/../../b",
            "/x",
            "//x",
            "/",
            "a//b",
            ".",
            "./.",
            "",
            "./..",
        ),
        *("\\x", "..\\x", "a\\..\\b", "a/..\\b", "a\\../b", "C:x", "c:\\x", "C:/x", "\\\\host\\x"),
        "/".join(["a"] * 101),
    ],
)
def test_an_unsafe_path_is_refused_however_it_is_written(name: str) -> None:
    assert refused(extended(record("path", name) if name else b"") + header(name[:90])).startswith(
        ("unsafe path", "a long name")
    )
    if len(name.encode()) <= 100:
        assert refused(file(name)).startswith("unsafe path")


def test_a_path_has_a_length() -> None:
    name = "/".join(["n" * 200] * 20)
    assert entries(extended(record("path", name)) + header("x"))[0].path == name
    assert "unsafe path" in refused(extended(record("path", name + "n" * 200)) + header("x"))


@pytest.mark.parametrize(
    ("flag", "what"),
    [
        (b"1", "a hard link"),
        (b"3", "a character device"),
        (b"4", "a block device"),
        (b"6", "a FIFO"),
        (b"7", "a contiguous file"),
        (b"S", "a sparse file"),
        (b"g", "a global PAX header"),
        (b"Z", "unknown type"),
        (b"\xff", "unknown type"),
    ],
)
def test_any_other_kind_of_entry_is_refused(flag: bytes, what: str) -> None:
    assert what in refused(header("odd", flag=flag, target="index.html"))


def test_a_file_whose_name_ends_in_a_slash_is_refused() -> None:
    # Some tools read it as a directory, others as a file.
    assert refused(file("a/")) == 'unsafe path: "a/"'


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1777])
def test_setuid_setgid_and_sticky_bits_are_refused(bits: int) -> None:
    assert "setuid" in refused(file("x", mode=bits))
    assert entries(file("x", mode=bits & 0o777))[0].mode == bits & 0o777


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([file("a"), file("a")], id="file twice"),
        pytest.param([file("a"), file("./a")], id="file twice, spelled differently"),
        pytest.param([directory("a/"), directory("a")], id="directory twice"),
        pytest.param([file("a"), directory("a/")], id="file and directory"),
        pytest.param([file("a"), file("a/b")], id="below a file"),
        pytest.param([file("a/b"), file("a")], id="file above an entry"),
        pytest.param([symlink("a", "b"), file("a/b")], id="below a link"),
        pytest.param([file("a/b"), symlink("a", "b")], id="link above an entry"),
        pytest.param([symlink("a", "b"), file("A/b")], id="below a link in another case"),
        pytest.param([file("É/b"), symlink("e\u0301", "b")], id="below a link in another form"),
    ],
)
def test_entries_that_stand_in_each_others_way_are_refused(parts: list[bytes]) -> None:
    assert refused(*parts)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        *(
            ("l", target)
            for target in ("x", "a/x", "./x", "a/../x", "..a", "a/", "nowhere/x", "l2")
        ),
        *(("a/l", target) for target in ("..", "../x", "../a/x", "./../x", "b/../../x", "../l2")),
    ],
)
def test_a_link_that_stays_inside_is_kept(path: str, target: str) -> None:
    found = entries(file("a/x"), file("x"), symlink("l2", "x"), symlink(path, target))
    assert found[-1] == Entry(path, "symlink", 0, 0o777, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        *(("l", target) for target in ("..", "../x", "a/../../x", "/x", "", "\\x", "C:x", "./..")),
        *(("l", target) for target in ("..\\x", "a\\..\\..\\x", "d/x", "d/..", "D/../..", "d/.")),
        *(
            ("a/l", target)
            for target in ("../..", "../../x", "../../a/x", "../d/x", "b/../../../x")
        ),
        ("l", "/".join(["a"] * 101)),
    ],
)
def test_a_link_that_leaves_or_passes_another_is_refused(path: str, target: str) -> None:
    link = extended(record("linkpath", target) if target else b"") + header(path, flag=b"2")
    assert refused(file("a/x"), symlink("d", "a"), link).startswith(("unsafe symlink", "a long"))


def test_a_link_through_a_later_link_is_refused() -> None:
    assert "unsafe symlink" in refused(
        symlink("l", "d/../../x"), file("a/b/x"), symlink("d", "a/b")
    )


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (header("x", 5, flag=b"5") + padded(b"12345"), "directory with data"),
        (header("x", 5, flag=b"2", target="y") + padded(b"12345"), "symlink with data"),
        (header("x", fields={124: b"\xff" * 12}), "negative size"),
        (header("x", fields={124: b"0000000000z\0"}), "not a number"),
        (header("x", fields={124: b"1 1\0"}), "not a number"),
        (header("x", fields={100: b"\xff" * 8}), "negative mode"),
        (header(b"\xe5"), "not UTF-8"),
        (header("x", fields={345: b"\xe5"}), "not UTF-8"),
        (header("x", flag=b"2", fields={157: b"\xe5"}), "not UTF-8"),
        (b"x" * BLOCK, "not a tar"),
        (header("x")[:-1] + b"x", "not a tar"),
        (extended(record("path", b"\xe5")) + header("x"), "not UTF-8"),
        (extended(record("path", b"a\0b")) + header("x"), "NUL"),
        (extended(record("path", "")) + header("x"), "empty"),
        (extended(b"", b"L") + header("x"), "empty"),
        (extended(b"a\0b\0", b"L") + header("x"), "NUL"),
        (extended(record("size", "7")) + header("x"), "two sizes"),
        (extended(record("path", "a") * 2) + header("x"), "twice"),
        (extended(record("GNU.sparse.realsize", "99")) + header("x"), "sparse"),
        (extended(b"99 path=x\n") + header("x"), "malformed PAX"),
        (extended(b"3 path=x\n") + header("x"), "malformed PAX"),
        (extended(b"0 path=x\n") + header("x"), "malformed PAX"),
        (extended(b"-9 path=x\n") + header("x"), "malformed PAX"),
        (extended(b"8 path=x\n") + header("x"), "malformed PAX"),
        (extended(b"7 path\n") + header("x"), "malformed PAX"),
        (extended(b"\n") + header("x"), "malformed PAX"),
        (extended(record("path", "a")) * 2 + header("x"), "two extended"),
        (extended(record("path", "a")) + extended(b"b", b"L") + header("x"), "two extended"),
        (header("p", 16_385, flag=b"x") + bytes(17_000), "too long"),
        (header("p", 2**33 - 1, flag=b"L"), "too long"),
        (extended(record("path", "a")), "unexpected end"),
    ],
)
def test_a_tar_that_two_tools_could_read_differently_is_refused(part: bytes, why: str) -> None:
    assert why in refused(part)


@pytest.mark.parametrize("end", [bytes(BLOCK), END, END * 40, bytes(100_000)])
def test_any_number_of_zero_blocks_ends_a_tar(end: bytes) -> None:
    assert docs_archive.check(gzip([file("index.html", b"x" * 700), end])).contents_size == 700


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (b"", "unexpected end"),
        (bytes(BLOCK - 1), "unexpected end"),
        (bytes(BLOCK) + file("x"), "after the end"),
        (END + b"x", "after the end"),
        (END * 300 + b"x", "after the end"),
    ],
)
def test_a_tar_without_a_clean_end_is_refused(tail: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        docs_archive.check(gzip([file("index.html"), tail]))


def test_a_tar_cut_anywhere_is_refused() -> None:
    tar = file("index.html", b"x" * 600) + extended(record("path", "b")) + file("a", b"y")
    for cut in range(0, len(tar), 37):
        with pytest.raises(Malformed, match="unexpected end"):
            docs_archive.check(gzip([tar[:cut]]))


def test_a_gzip_stream_cut_or_changed_anywhere_is_refused() -> None:
    archive = docs(file("a", bytes(range(256)) * 4))
    for cut in range(len(archive)):
        with pytest.raises(Malformed):
            docs_archive.check(archive[:cut])
    for position in (0, 1, 2, 3, *range(10, len(archive))):
        changed = bytearray(archive)
        changed[position] ^= 0x55
        with pytest.raises(Malformed):
            docs_archive.check(bytes(changed))


def test_data_comes_in_pieces_whatever_the_pieces_of_the_tar() -> None:
    files = {"a": b"", "b": b"b" * 511, "c": b"c" * 512, "d": b"d" * 1300}
    tar = b"".join(file(name, data) for name, data in files.items()) + END
    for size in (1, 7, 512, 513, 10_000):
        pieces = [tar[start : start + size] for start in range(0, len(tar), size)]
        found = {head.name: b"".join(data) for head, data in read_tar(pieces)}
        assert found == files
        assert [head.name for head, _ in read_tar(pieces)] == list(files)  # data left unread


def test_data_read_in_part_is_passed_over() -> None:
    tar = file("a", b"x" * 2000) + file("b", b"y") + END
    names = []
    for head, data in read_tar([tar[:600], tar[600:]]):
        names.append(head.name)
        next(data)
    assert names == ["a", "b"]


def flood(count: int, part: Iterable[bytes]) -> Iterator[bytes]:
    """An archive that begins like any other."""
    yield file("index.html")
    for _, each in zip(range(count), part, strict=False):
        yield each
    yield END


def numbered(form: str) -> Iterator[bytes]:
    """Files without end, each with a path of its own."""
    number = 0
    while True:
        name = form.format(number)
        yield (extended(record("path", name)) if len(name) > 90 else b"") + header(name[:90])
        number += 1


MEGABYTE = bytes(2**20)
BOMBS = {
    "one large file": ([header("z", 2**27 + 1), *[MEGABYTE] * 129], "too big"),
    "many files": (
        [part for n in range(130) for part in (header(f"{n}", 2**20), MEGABYTE)],
        "too big",
    ),
    "a declared size": ([header("z", fields={124: b"\x80" + b"\xff" * 11})], "too big"),
    "zeros behind the end": ([END, *[MEGABYTE] * 300], "too big"),
    "entries": (flood(10_001, numbered("f{}")), "more than 10000 entries"),
    "implied directories": (flood(9_000, numbered("d{}" + "/a" * 40)), "more than 250000 files"),
    "long paths": (flood(9_000, numbered("d{}/" + "n" * 3000)), "too long"),
    "PAX headers": (
        flood(10, iter(lambda: extended(record("mtime", "1")), None)),
        "too many extended headers",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "ENTRIES_MAX", 10_000)  # for the time that this test takes
    parts, why = BOMBS[name]
    archive = gzip(parts)
    assert len(archive) < docs_archive.ARCHIVE_SIZE_MAX
    tracemalloc.start()
    with pytest.raises(Malformed, match=why):
        docs_archive.check(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * 2**20


def test_the_largest_archive_is_read_in_little_memory() -> None:
    parts = [file("index.html"), header("z", 2**27), *[MEGABYTE] * 128, END]
    archive = gzip(parts)
    tracemalloc.start()
    assert docs_archive.check(archive).contents_size == file_tree.SIZE_MAX
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_tree_knows_its_files_and_directories() -> None:
    tree = FileTree()
    for _ in tree.read([file("a/b/c") + directory("d/") + END]):
        pass
    assert all(tree.has(path) for path in ("a", "a/b", "a/b/", "a/b/c", "d"))
    assert not any(tree.has(path) for path in ("b", "a/c", "a/b/c/d", "e", "..", "/a"))
    assert set(tree.top_level_names()) == {"a", "d"}


names = st.text(st.sampled_from("ab./\\: é\0C"), min_size=0, max_size=12)
parts = st.one_of(
    st.builds(file, names, st.binary(max_size=20)),
    st.builds(directory, names),
    st.builds(symlink, names, names),
    st.builds(lambda name: extended(record("path", name)), names),
    st.builds(lambda name: extended(name.encode() + b"\0", b"L"), names),
    st.builds(lambda name, flag: header(name, flag=flag), names, st.binary(min_size=1, max_size=1)),
    st.binary(max_size=600).map(padded),
)


@settings(max_examples=300)
@given(st.lists(parts, max_size=6))
def test_any_tar_is_safe_or_malformed(tar: list[bytes]) -> None:
    with contextlib.suppress(Malformed):
        for entry in entries(*tar):
            assert not entry.path.startswith("/")
            assert not {"..", ".", ""} & set(entry.path.split("/"))
            assert ".." not in entry.path.replace("\\", "/").split("/")


@given(st.binary(max_size=400), st.data())
def test_any_bytes_are_malformed(noise: bytes, data: st.DataObject) -> None:
    for archive in (noise, gzip([noise])):
        with pytest.raises(Malformed):
            docs_archive.check(archive)
    tar = bytearray(file("index.html", b"x") + extended(record("path", "a")) + file("b") + END)
    tar[data.draw(st.integers(0, len(tar) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        docs_archive.check(gzip([bytes(tar)]))
