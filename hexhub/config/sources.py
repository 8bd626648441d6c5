"""Where settings are written: flags, environment, file. Each source becomes one map of texts.

Precedence (design §10): a flag beats the environment, the environment beats the file; within the
environment `HEXHUB_<NAME>` beats the bare name. An empty text is the same as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hexhub.config.settings import Declared, declared
from hexhub.config.values import suggestion
from hexhub.errors import Refused

PREFIX = "HEXHUB_"
_FILE = "_file"
_MOST_BYTES = 1 << 20

# HEXHUB_CONFIG names the file; HEXHUB_KEY is what the printed client lines call a reader's key.
_OTHER_WORDS = frozenset({"config", "key"})
# Kubernetes tells every pod of the services around it, and one of them may be called hexhub
# (design §10) or hexhub-something.
_FROM_KUBERNETES = re.compile(r"(service|port)_.*|.+_service_(host|port.*)|.+_port_[0-9]+_.*")
_PORT_FROM_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Source:
    """The texts of one source by key (a setting's field name, an older name, or `<secret>_file`).

    `label` turns a key into what the person wrote, `kind` into what `config show` prints.
    """

    texts: Mapping[str, str]
    label: Callable[[str], str]
    kind: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Found:
    """A text, what the person called it, and the source that `config show` prints."""

    text: str
    label: str
    kind: str


def keys(name: str, about: Declared) -> tuple[str, ...]:
    """The keys under which a setting may stand, its own first."""
    return (name, *(older.lower() for older in about.older))


def _known() -> dict[str, Declared]:
    """Every key that a source may hold."""
    known: dict[str, Declared] = {}
    for name, about in declared().items():
        for key in keys(name, about):
            known[key] = about
            if about.secret:
                known[key + _FILE] = about
    return known


def _of_flags(flags: Mapping[str, str]) -> Source:
    texts = {name.lower().replace("-", "_"): text for name, text in flags.items()}

    def label(key: str) -> str:
        return "--" + key.replace("_", "-")

    return Source(texts, label, lambda key: f"flag {label(key)}")


def _of_environment(prefix: str, texts: Mapping[str, str]) -> Source:
    def label(key: str) -> str:
        return prefix + key.upper()

    return Source(texts, label, lambda key: f"environment {label(key)}")


def _prefixed(environ: Mapping[str, str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in _OTHER_WORDS or _is_from_kubernetes(key, text):
            continue
        texts[key] = text
    return texts


def _is_from_kubernetes(key: str, text: str) -> bool:
    if _FROM_KUBERNETES.fullmatch(key):
        return True
    return key.split("_")[-1] == "port" and _PORT_FROM_KUBERNETES.match(text) is not None


def _bare(environ: Mapping[str, str], known: Mapping[str, Declared]) -> dict[str, str]:
    return {
        key: environ[key.upper()]
        for key, about in known.items()
        if about.bare and key.upper() in environ
    }


def _of_file(path: Path) -> Source:
    """Raises Refused when the file cannot be read or holds something else than settings."""
    import tomllib  # here: most commands have no file, and the command line starts faster without

    try:
        entries = tomllib.loads(read(path, "settings file"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refused(f"the settings file {path} is not TOML: {error}") from error
    texts = {key.lower(): _written(key, value, path) for key, value in entries.items()}
    return Source(texts, lambda key: f"{key} in {path}", lambda key: f"file {path}")


def _written(key: str, value: object, path: Path) -> str:
    """A TOML value as it would stand in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise Refused(f"{key} in {path} must be text, a number, true or false, or a list of texts")


def read(path: Path, what: str) -> str:
    """The text of a file of settings; raises Refused with a sentence about `what`."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise Refused(f"the {what} {path} is larger than {_MOST_BYTES} bytes")
        return content.decode("utf-8")
    except OSError as error:
        raise Refused(f"the {what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"the {what} {path} is not UTF-8 text") from error


def gather(
    environ: Mapping[str, str], file: Path | None, flags: Mapping[str, str]
) -> tuple[Source, ...]:
    """All sources, the winning one first. Raises Refused for a name that is no setting."""
    known = _known()
    prefixed = _of_environment(PREFIX, _prefixed(environ))
    strict = [_of_flags(flags), prefixed]
    if file is not None:
        strict.append(_of_file(file))
    for source in strict:
        for key in source.texts:
            if key not in known:
                _refuse_unknown(source, key, known)
    bare = _of_environment("", _bare(environ, known))
    return (*strict[:2], bare, *strict[2:])


def _refuse_unknown(source: Source, key: str, known: Mapping[str, Declared]) -> None:
    hint = suggestion(source.label(key), [source.label(name) for name in known])
    raise Refused(f"{source.label(key)} is not a setting{hint}")


def find(name: str, about: Declared, sources: tuple[Source, ...], checkout: Path) -> Found | None:
    """What is written for a setting, in the source that wins. Raises Refused."""
    for source in sources:
        for key in keys(name, about):
            text = source.texts.get(key, "").strip()
            file = source.texts.get(key + _FILE, "").strip() if about.secret else ""
            if text and file:
                raise Refused(f"set one of {source.label(key)} and {source.label(key + _FILE)}")
            if text:
                return Found(text, source.label(key), source.kind(key))
            if file:
                return _from_secret_file(checkout / file, source, key + _FILE)
    return None


def _from_secret_file(path: Path, source: Source, key: str) -> Found:
    text = read(path, f"file of {source.label(key)},").strip()
    if not text:
        raise Refused(f"{source.label(key)}: {path} is empty")
    return Found(text, source.label(key), source.kind(key))
