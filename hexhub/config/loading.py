"""From sources to a Config: every value parsed, every default computed, every constraint checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hexhub.config.settings import Config, Declared, declared, show
from hexhub.config.sources import PREFIX, Found, Source, find, gather
from hexhub.config.values import STARS
from hexhub.errors import Refused

DEFAULT = "default"
_LONGEST_SHOWN = 80  # characters of a bad value in an error


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of `hexhub config show`; texts, with secrets as stars."""

    name: str
    value: str
    source: str
    default: str
    unit: str
    meaning: str


def find_checkout() -> Path:
    """The directory that holds this code and its pyproject.toml; else the current directory."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def load(
    environ: Mapping[str, str],
    *,
    checkout: Path,
    file: Path | None = None,
    flags: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """The settings that hold, from nothing but the arguments and the files that they name.

    `flags` maps setting names (`port` or `--port` without the dashes) to texts. `file` is a TOML
    file and wins over `HEXHUB_CONFIG`. Relative paths are taken from `checkout`, so that every
    command finds the same node from whatever directory.

    Raises Refused, with one sentence for the operator, for a name that is no setting, a value that
    cannot be, and values that do not go together.
    """
    checkout = checkout.absolute()
    if file is None and environ.get(PREFIX + "CONFIG"):
        file = Path(environ[PREFIX + "CONFIG"])
    sources = gather(environ, None if file is None else checkout / file, flags)
    known: dict[str, Any] = {"checkout": checkout}
    origins: dict[str, str] = {}
    for name, about in declared().items():
        known[name], origins[name] = _value(name, about, sources, known)
    config = Config(sources=MappingProxyType(origins), **known)
    _check(config)
    return config


def _value(
    name: str, about: Declared, sources: tuple[Source, ...], known: Mapping[str, Any]
) -> tuple[object, str]:
    found = find(name, about, sources, known["checkout"])
    if found is None:
        return about.default(known), DEFAULT
    value = _parse(found, about)
    return (known["checkout"] / value if isinstance(value, Path) else value), found.kind


def _parse(found: Found, about: Declared) -> object:
    seen = "" if about.secret else f", not {found.text[:_LONGEST_SHOWN]!r}"
    if re.search(r"[\x00-\x1f\x7f]", found.text):
        raise Refused(f"{found.label} must be one line without control characters{seen}")
    try:
        return about.parse(found.text)
    except ValueError as error:
        raise Refused(f"{found.label} {error}{seen}") from error


def _check(config: Config) -> None:
    """What no value alone can tell."""
    if config.hex_test_mode:
        _check_test_mode(config)
    if (config.tls_cert is None) != (config.tls_key is None):
        raise Refused("TLS_CERT and TLS_KEY go together: set both or neither")
    administrator = (config.admin_user, config.admin_email, config.admin_password)
    if any(administrator) and not all(administrator):
        raise Refused(
            "HEXHUB_ADMIN_USER, HEXHUB_ADMIN_EMAIL and HEXHUB_ADMIN_PASSWORD_FILE go together: "
            "set all three or none"
        )
    if config.storage_type != "local":
        if not config.s3_bucket:
            raise Refused(f"STORAGE_TYPE={config.storage_type} needs S3_BUCKET")
        if (config.aws_access_key_id is None) != (config.aws_secret_access_key is None):
            raise Refused("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")
    if config.s3_kms_key and config.s3_encryption != "aws:kms":
        raise Refused("HEXHUB_S3_KMS_KEY needs HEXHUB_S3_ENCRYPTION=aws:kms")
    if config.clustering_enabled and config.cluster_advertise in ("0.0.0.0", "::"):
        raise Refused(
            f"CLUSTERING_ENABLED=true needs an address that other nodes can dial, and "
            f"{config.cluster_advertise} is none: set CLUSTER_ADVERTISE"
        )
    if config.cluster_port == config.port:
        raise Refused(f"CLUSTER_PORT and PORT are both {config.port}: they must differ")
    _check_workers(config)


def check_listening(config: Config) -> None:
    """Raises Refused when secrets would cross the network in clear and nobody said that they may."""
    behind_something = config.tls_cert is not None or bool(config.behind_proxy)
    if not (config.on_loopback or behind_something or config.plain_http):
        raise Refused(
            f"HEXHUB_HOST={config.host} can be reached from other machines, and keys and passwords "
            "would cross the network in clear: set TLS_CERT and TLS_KEY, or BEHIND_PROXY to the "
            "address of the proxy that speaks TLS, or HEXHUB_PLAIN_HTTP=true to do it all the same"
        )


def _check_test_mode(config: Config) -> None:
    if not config.on_loopback:
        raise Refused(f"HEX_TEST_MODE works only on loopback, and HEXHUB_HOST is {config.host}")
    if config.clustering_enabled:
        raise Refused("HEX_TEST_MODE and CLUSTERING_ENABLED exclude each other")
    if config.behind_proxy:
        raise Refused("HEX_TEST_MODE and BEHIND_PROXY exclude each other")


def _check_workers(config: Config) -> None:
    """Several processes trade connections, which they cannot once these speak TLS."""
    if config.workers == 1:
        return
    if config.tls_cert is not None:
        raise Refused(
            f"WORKERS={config.workers} and TLS_CERT exclude each other: let a proxy speak TLS "
            "(BEHIND_PROXY), or set WORKERS=1"
        )
    if not sys.platform.startswith("linux"):
        raise Refused(f"WORKERS={config.workers} needs Linux: set WORKERS=1")


def describe(config: Config) -> list[Setting]:
    """Every setting with its value and where the value came from, in the order of declaration."""
    return [_described(name, about, config) for name, about in declared().items()]


def _described(name: str, about: Declared, config: Config) -> Setting:
    value = getattr(config, name)
    shown = STARS if about.secret and value is not None else show(value)
    written = about.written(name)
    source = config.sources[name]
    return Setting(written, shown, source, about.default_text, about.unit, about.meaning)
