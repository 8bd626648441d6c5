"""What is wrong here, and what to do about it: for an operator, and for a developer's machine."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import click

from hexhub.cli import health
from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.config import Config, check_listening
from hexhub.errors import Refused

DIAL_S = 3.0
DISK_WARN = 5 << 30
DISK_BAD = 64 << 20
FILES_WARN = 4096
CERTIFICATE_WARN_DAYS = 21
CLOCK_WARN_S = 5
LEVELS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `level` is ok, note or bad."""

    about: str
    level: str
    said: str
    fix: str = ""


def _now() -> datetime:
    """The clock of this machine; to take the hub's would load all of a node for any command."""
    return datetime.now(UTC)  # noqa: TID251 - the operator's clock is what is looked at


def examine(config: Config, data_dir: Path) -> Iterator[Finding]:
    """Everything, one after the other; nothing is changed."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _settings(config),
        lambda: _disk(config, data_dir),
        _files,
        lambda: _secret(config),
        lambda: _certificate(config),
        lambda: _dns(config),
        lambda: _node(config),
        lambda: _upstream(config),
    )
    for check in checks:
        yield from check()


def _settings(config: Config) -> Iterator[Finding]:
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


def _disk(config: Config, data_dir: Path) -> Iterator[Finding]:
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


def _files() -> Iterator[Finding]:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft >= FILES_WARN or soft == resource.RLIM_INFINITY
    yield Finding(
        "files",
        "ok" if enough else "note",
        f"{soft} descriptors allowed here",
        "" if enough else "LimitNOFILE=65536 in the unit, or ulimit -n 65536",
    )


def _secret(config: Config) -> Iterator[Finding]:
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


def _certificate(config: Config) -> Iterator[Finding]:
    if config.tls_cert is None:
        return
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(config.tls_cert.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ValueError) as error:
        yield Finding("certificate", "bad", f"TLS_CERT and TLS_KEY: {error}", "renew both files")
        return
    left = (found.not_valid_after_utc - _now()).days
    level = "bad" if left < 0 else "note" if left < CERTIFICATE_WARN_DAYS else "ok"
    yield Finding("certificate", level, f"{left} days left", "" if level == "ok" else "renew it")


def _dns(config: Config) -> Iterator[Finding]:
    host = urlsplit(config.url).hostname or ""
    try:
        addresses = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except OSError:
        yield Finding("dns", "bad", f"{host} of {config.url} is not known", "add it to the DNS")
        return
    yield Finding("dns", "ok", f"{host} is {', '.join(sorted(map(str, addresses)))}")


def _node(config: Config) -> Iterator[Finding]:
    try:
        began = _now()
        status, body = health.ask(config, "/health")
    except Failed as error:
        yield Finding("node", "bad", str(error), "start it; its log says why it ended")
        return
    value = json.loads(body)
    for part, state in value.get("parts", {}).items():
        # The upstream is reported, and never fails a node.
        level = "ok" if state.get("ok") else "note" if part == "upstream" else "bad"
        words = ", ".join(f"{name} {text}" for name, text in state.items() if name != "ok")
        yield Finding(part, level, words or "well", "" if level == "ok" else "docs/operations.md")
    yield Finding("node", "ok" if status == 200 else "bad", f"/health answers {status}")
    yield from _members(config)
    taken = (_now() - began).total_seconds()
    if taken > CLOCK_WARN_S:
        yield Finding("node", "note", f"took {taken:.1f} s to answer", "look at its load")


def _members(config: Config) -> Iterator[Finding]:
    try:
        _, body = health.ask(config, "/api/cluster/status")
        members = json.loads(body)["members"]
    except (Failed, ValueError, KeyError):
        return
    for member in members:
        well = bool(member.get("reachable"))
        said = f"{member.get('role')}, {member.get('lag')} entries behind"
        yield Finding(
            f"member {member.get('name')}",
            "ok" if well else "bad",
            said if well else "does not answer",
            "" if well else "start it, or check CLUSTER_PORT and the network between",
        )


def _upstream(config: Config) -> Iterator[Finding]:
    if not config.upstream_enabled or config.offline:
        return
    parts = urlsplit(config.upstream_repo_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), DIAL_S).close()
    except OSError as error:
        yield Finding(
            "upstream",
            "note",
            f"{parts.hostname} cannot be reached ({error.strerror or error})",
            "allow it in the firewall, or set OFFLINE=true",
        )
        return
    yield Finding("upstream", "ok", f"{parts.hostname} can be reached")


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at disk, secret, certificate, DNS, node, members and upstream. Exit code 1: one is bad."""
    if context.invoked_subcommand is not None:
        return
    options: Options = context.obj
    found = list(examine(options.config, options.node_dir))
    lines = []
    for each in found:
        lines.append(f"{LEVELS[each.level]}  {each.about}: {each.said}")
        if each.fix and each.level != "ok":
            lines.append(f"      fix: {each.fix}")
    value = {"at": _now().isoformat(), "findings": [asdict(each) for each in found]}
    show(value, as_json, "\n".join(lines))
    if any(each.level == "bad" for each in found):
        raise Failed("something is bad", 1)


@doctor.command("client")
@click.option("--url", help="The hub as developers reach it.", show_default="HEXHUB_URL")
@click.pass_obj
def client(options: Options, url: str | None) -> None:
    """Print a POSIX script that checks a developer's machine against this hub."""
    fingerprint = options.ask("GET", "/public-key")["fingerprint"]
    text = (files("hexhub.cli") / "generated" / "doctor_client.txt").read_text("utf-8")
    given = (url or options.config.url).rstrip("/")
    if "'" in given:
        raise Failed("the address must not hold a quote", 2)
    click.echo(Template(text).substitute(url=given, fingerprint=fingerprint), nl=False)


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(hexhub completion bash)"."""
    from click.shell_completion import get_completion_class

    from hexhub.cli import hexhub

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(hexhub, {}, "hexhub", "_HEXHUB_COMPLETE").source())


COMMANDS = (doctor, completion)
