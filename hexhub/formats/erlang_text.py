"""The text form of Erlang terms in metadata.config, as the real client reads it (tarball.md §5).

Errors start with the kind the client's library gives: `illegal characters`, `illegal atom`, `invalid terms`,
`not in key-value format`; our own bounds and the refusal of keys that are not text have sentences of their own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final, TypeVar

from hexhub.errors import Malformed
from hexhub.formats.metadata import normalize
from hexhub.formats.quoted import quoted

T = TypeVar("T")

SIZE_MAX = 1_048_576  # bytes
DEPTH_MAX = 64
DIGITS_MAX = 32  # of an integer, leading zeros aside

_ATOMS: Final[dict[str, bool | None]] = {
    "true": True,
    "false": False,
    "undefined": None,
    "nil": None,
    "null": None,
    "none": None,
}
_ENCODINGS: Final = frozenset({"utf8", "utf16", "utf32"})
_BINARIES: Final = frozenset({"binary", "bytes", "bits", "bitstring"})
_TYPES: Final = _ENCODINGS | _BINARIES | {"integer", "float"}
_ENDIANS: Final = frozenset({"big", "little", "native"})
_SIGNS: Final = frozenset({"signed", "unsigned"})
_SPECIFIERS: Final = _TYPES | _ENDIANS | _SIGNS

# One token and the blanks before it. BYTES takes a whole list of bytes at once: the encoder's spelling of most
# non-ASCII text, which would otherwise be four tokens a character.
_TOKEN = re.compile(
    r"[\0-\x20]*+(?:"
    r"(?P<bytes><<[0-9]{1,3}(?:,[0-9]{1,3})*+>>)"
    r"|(?P<atom>[a-z][A-Za-z0-9_@]*)"
    r"|(?P<integer>[0-9]+)"
    r"|(?P<symbol><<|>>|=>|[#\[\]{},+/.-])"
    r"|(?P<string>\")"
    r"|(?P<quoted>')"
    r"|(?P<illegal>.)"
    r")",
    re.DOTALL,
)
# A quote behind a backslash or behind `\^` does not end a string, escaped or not: the client's own bug.
_CLOSING = {'"': re.compile(r'(?<!\\)(?<!\\\^)"'), "'": re.compile(r"(?<!\\)(?<!\\\^)'")}
_ESCAPE = re.compile(r"\\(?:([0-7]{3})|\^(.)|(.))", re.DOTALL)
_LETTERS = dict(zip("nrtvbfesd", "\n\r\t\v\b\f\x1b\x20\x7f", strict=True))
_ENDS_IN_BACKSLASH = re.compile(r'(?<!\\)(?:\\\\)++"')


IDENTITY = frozenset({"name", "version", "requirements"})
"""Keys that two readers must never read differently. Clients write others twice and mean it: the
Hex client's own suite publishes a `description` and an `app` under an atom and a string."""


def parse_config(data: bytes, *, unique: bool = False) -> dict[str, object]:
    """The normalized metadata of a metadata.config of at most SIZE_MAX bytes. Raises Malformed.

    Binaries are str when they are UTF-8, else bytes; true and false are bool; undefined, nil, null and none are
    None; tuples, lists and maps are tuple, list and dict. Of equal keys the last wins; with `unique` a file
    that says twice which release it is, or what that requires, is refused.
    """
    metadata: dict[str, object] = {}
    for key, value in parse_pairs(data):
        if not isinstance(key, str):
            raise Malformed("a key of the metadata is not text")
        if unique and key in metadata and key in IDENTITY:
            raise Malformed(f"the key {quoted(key)} appears twice")
        metadata[key] = value
    return normalize(metadata)


def parse_pairs(data: bytes) -> list[tuple[object, object]]:
    """The pairs of a metadata.config in their order, as written. Raises Malformed."""
    if len(data) > SIZE_MAX:
        raise Malformed("file too big: metadata.config")
    text = _decode(data)
    try:
        forms = _Parser(text).forms()
    except Malformed as error:
        if _ENDS_IN_BACKSLASH.search(text) is None:
            raise
        # What `mix hex.build` writes for such a text no client can read (tarball.md §5).
        raise Malformed(
            f"{error} (does a text end in a backslash? No client can read that)"
        ) from None
    pairs = [form for form in forms if isinstance(form, tuple) and len(form) == 2]
    if len(pairs) != len(forms):
        raise Malformed("not in key-value format")
    return pairs


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class _Syntax(Exception):
    """A token that does not fit; becomes `invalid terms` unless the rest of the form has a worse one."""


class _Parser:
    """A position in the text and the token there: its kind and its value.

    Kinds are the names of _TOKEN's groups, for symbols the symbol itself, and "" at the end of the text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._kind = ""
        self._value = ""
        self._swallowed = False  # a string took everything up to the last quote of the file

    def forms(self) -> list[object]:
        """Every term of the text."""
        forms = []
        self._advance()
        while self._kind:
            try:
                forms.append(self._term(0))
                if self._kind != "." or self._swallowed:
                    raise _Syntax
            except _Syntax:
                # The client scans a whole form before it parses it, so an illegal token further on counts first.
                while self._kind not in (".", ""):
                    self._advance()
                raise Malformed("invalid terms") from None
            self._advance()
        if not forms:
            raise Malformed("invalid terms")
        return forms

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            self._kind = ""
            return
        kind = match.lastgroup or ""
        self._position = match.end()
        self._value = match[kind]
        match kind:
            case "symbol":
                self._kind = self._value
            case "bytes" | "integer":
                self._kind = kind
            case "atom":
                self._kind = kind
                self._check_atom()
            case "string":
                self._kind = kind
                self._value = self._quoted('"')
            case "quoted":
                self._kind = "atom"
                self._value = self._quoted("'")
                self._check_atom()
            case _:
                raise Malformed(f"illegal characters {quoted(self._value)}")

    def _quoted(self, quote: str) -> str:
        start = self._position
        closing = _CLOSING[quote].search(self._text, start)
        end = closing.start() if closing else self._text.rfind(quote, start)
        if end < 0:
            raise Malformed(f"illegal characters {quoted(self._text[start - 1 :])}")
        self._swallowed |= closing is None
        self._position = end + 1
        body = self._text[start:end]
        return _ESCAPE.sub(_unescape, body) if "\\" in body else body

    def _check_atom(self) -> None:
        # Specifiers are known words, but only behind a slash; `_term` refuses them as values.
        if self._value not in _ATOMS and self._value not in _SPECIFIERS:
            raise Malformed(f"illegal atom {quoted(self._value)}")

    def _take(self, kind: str) -> str:
        if self._kind != kind:
            raise _Syntax
        value = self._value
        self._advance()
        return value

    def _term(self, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise Malformed(f"nested deeper than {DEPTH_MAX}")
        match self._kind:
            case "bytes" | "<<":
                return _text_or_bytes(self._binary(depth))
            case "string":
                return [ord(character) for character in self._string()]
            case "atom":
                if self._value not in _ATOMS:
                    raise Malformed(f"illegal atom {quoted(self._value)}")
                return _ATOMS[self._take("atom")]
            case "integer" | "+" | "-":
                return self._integer()
            case "[":
                return self._sequence("[", "]", lambda: self._term(depth + 1))
            case "{":
                return tuple(self._sequence("{", "}", lambda: self._term(depth + 1)))
            case "#":
                self._advance()
                return dict(self._sequence("{", "}", lambda: self._association(depth + 1)))
            case _:
                raise _Syntax

    def _sequence(self, opening: str, closing: str, item: Callable[[], T]) -> list[T]:
        self._take(opening)
        items: list[T] = []
        if self._kind != closing:
            items.append(item())
            while self._kind == ",":
                self._advance()
                items.append(item())
        self._take(closing)
        return items

    def _association(self, depth: int) -> tuple[object, object]:
        key = self._term(depth)
        # Integers and what holds them could be chosen to collide in a dict, so keys are text or nothing.
        if not isinstance(key, str | bytes | bool | None):
            raise Malformed("a key of a map is not text")
        self._take("=>")
        return key, self._term(depth)

    def _string(self) -> str:
        parts = [self._take("string")]
        while self._kind == "string":
            parts.append(self._take("string"))
        return "".join(parts)

    def _integer(self) -> int:
        negative = self._kind == "-"
        if self._kind != "integer":
            self._advance()
        digits = self._take("integer").lstrip("0")
        if len(digits) > DIGITS_MAX:
            raise Malformed(f"an integer of more than {DIGITS_MAX} digits")
        number = int(digits or "0")
        return -number if negative else number

    def _binary(self, depth: int) -> bytes:
        if self._kind == "bytes":
            numbers = self._take("bytes")[2:-2].split(",")
            return bytes([int(number) & 255 for number in numbers])
        return b"".join(self._sequence("<<", ">>", lambda: self._segment(depth + 1)))

    def _segment(self, depth: int) -> bytes:
        if depth > DEPTH_MAX:
            raise Malformed(f"nested deeper than {DEPTH_MAX}")
        match self._kind:
            case "bytes" | "<<":
                nested = self._binary(depth)
                kind, _ = self._specifiers()
                if kind not in _BINARIES:
                    raise _Syntax
                return nested
            case "string":
                text = self._string()
                kind, endian = self._specifiers()
                return _encode_text(text, kind, endian)
            case "integer" | "+" | "-":
                number = self._integer()
                kind, endian = self._specifiers()
                return _encode_integer(number, kind, endian)
            case _:
                raise _Syntax

    def _specifiers(self) -> tuple[str, str]:
        """The type and the byte order behind a slash; of each group one, which may be repeated."""
        given: set[str] = set()
        if self._kind == "/":
            self._advance()
            given.add(self._take("atom"))
            while self._kind == "-":
                self._advance()
                given.add(self._take("atom"))
        kinds, endians = given & _TYPES, given & _ENDIANS
        if given - _SPECIFIERS or max(map(len, (kinds, endians, given & _SIGNS))) > 1:
            raise _Syntax
        little = endians & {"little", "native"}  # native is what a client's machine has
        return (kinds.pop() if kinds else "", "little" if little else "big")


def _unescape(match: re.Match[str]) -> str:
    octal, control, character = match.groups()
    if octal is not None:
        return chr(int(octal, 8))
    if control is not None:
        return chr(ord(control) & 31)
    if character <= " ":
        return ""
    return _LETTERS.get(character, character)


def _encode_text(text: str, kind: str, endian: str) -> bytes:
    if kind in ("", "integer"):
        return text.encode("ascii") if text.isascii() else bytes([ord(c) & 255 for c in text])
    if kind in _ENCODINGS:
        return _encode_characters(text, kind, endian)
    return b"".join([_encode_integer(ord(character), kind, endian) for character in text])


def _encode_integer(number: int, kind: str, endian: str) -> bytes:
    if kind in ("", "integer"):
        return bytes([number & 255])
    if kind == "float":
        return struct.pack("<d" if endian == "little" else ">d", number)
    if kind in _ENCODINGS and 0 <= number <= 0x10FFFF:
        return _encode_characters(chr(number), kind, endian)
    raise _Syntax


def _encode_characters(text: str, kind: str, endian: str) -> bytes:
    codec = "utf-8" if kind == "utf8" else f"utf-{kind[3:]}-{endian[0]}e"
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        raise _Syntax from None


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data
