"""What `hexhub doctor` sees on this machine alone: settings, disk, secrets, keys, certificate."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from hexhub.config import Config, check_listening
from hexhub.errors import Malformed, Refused

DISK_WARN = 5 << 30
DISK_BAD = 64 << 20
FILES_WARN = 4096
CERTIFICATE_WARN_DAYS = 21


def now() -> datetime:
    """The clock of this machine; that of a hub would need one to be imported."""
    return datetime.now(UTC)  # noqa: TID251 - a command has no hub


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `level` is ok, note or bad."""

    about: str
    level: str
    said: str
    fix: str = ""


def settings(config: Config) -> Iterator[Finding]:
    try:
        check_listening(config)
    except Refused as error:
        yield Finding("settings", "bad", str(error), "see docs/configuration.md")
    else:
        yield Finding("settings", "ok", "can be started with")
    if config.backup_dir is None:
        yield Finding(
            "backups",
            "note",
            "none are scheduled",
            "set HEXHUB_BACKUP_DIR (docs/operations/backup.md)",
        )
    elif config.backup_passphrase is None:
        yield Finding("backups", "note", "hold no secrets", "set HEXHUB_BACKUP_PASSPHRASE_FILE")


def disk(config: Config, data_dir: Path) -> Iterator[Finding]:
    folder = data_dir
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    level = "bad" if free < DISK_BAD else "note" if free < DISK_WARN else "ok"
    said = f"{free >> 20} MiB free in {folder}"
    yield Finding("disk", level, said, "" if level == "ok" else "make room: writes stop at 64 MiB")
    if found.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
        yield Finding("disk", "bad", f"{folder} cannot be written", "check its owner and its mount")


def descriptors() -> Iterator[Finding]:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # up to which a node raises its own
    enough = hard >= FILES_WARN or hard == resource.RLIM_INFINITY
    yield Finding(
        "files",
        "ok" if enough else "note",
        f"{hard} descriptors allowed here",
        "" if enough else "LimitNOFILE=65536 in the unit, or ulimit -Hn 65536",
    )


def secret(config: Config) -> Iterator[Finding]:
    if config.secret_key_base is not None:
        yield Finding("secret", "ok", f"SECRET_KEY_BASE from {config.sources['secret_key_base']}")
        return
    path = config.secret_file
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        yield Finding("secret", "note", f"{path} is made at the first start")
        return
    if mode & 0o077:
        yield Finding("secret", "bad", f"others can read {path}", f"chmod 600 {path}")
    else:
        yield Finding("secret", "ok", f"in {path}: keep a copy elsewhere")


def keys(config: Config) -> Iterator[Finding]:
    """The files of keys that the settings name; `SIGNING_KEY_FILE` itself is compared at start."""
    from hexhub.formats import signing_key

    for name, path, load in (
        ("SIGNING_KEY_FILE", config.signing_key_file, signing_key.load_private_key),
        ("UPSTREAM_PUBLIC_KEY_FILE", config.upstream_public_key_file, signing_key.load_public_key),
    ):
        if path is None:
            continue
        try:
            seen = signing_key.fingerprint(load(path.read_bytes()))
        except (OSError, Malformed) as error:
            yield Finding("keys", "bad", f"{name}: {error}", f"put an RSA key (PEM) into {path}")
            continue
        if name == "SIGNING_KEY_FILE" and path.stat().st_mode & 0o077:
            yield Finding("keys", "bad", f"others can read {path}", f"chmod 600 {path}")
        else:
            yield Finding("keys", "ok", f"{name} is {seen}")


def certificate(config: Config) -> Iterator[Finding]:
    """TLS_CERT and TLS_KEY: whether they fit, until when they are good, and for which name."""
    if config.tls_cert is None:
        return
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(config.tls_cert.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ValueError) as error:
        yield Finding("certificate", "bad", f"TLS_CERT and TLS_KEY: {error}", "renew both files")
        return
    left = (found.not_valid_after_utc - now()).days
    level = "bad" if left < 0 else "note" if left < CERTIFICATE_WARN_DAYS else "ok"
    yield Finding("certificate", level, f"{left} days left", "" if level == "ok" else "renew it")
    host = urlsplit(config.url).hostname or ""
    names = _names(found)
    if not any(_covers(name, host) for name in names):
        listed = ", ".join(names) or "no name"
        said = f"is for {listed}, and HEXHUB_URL says {host}"
        yield Finding("certificate", "bad", said, "renew it for that name, or set HEXHUB_URL")


def _names(certificate: object) -> list[str]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _covers(name: str, host: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2].lower() == name[2:].lower()
    return name.lower() == host.lower()
