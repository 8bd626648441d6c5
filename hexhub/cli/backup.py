"""Commands that keep a hub in a file and bring it back."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from cluster import ClusterError
from hexhub.backup import NotWhole, read, restore as restoring, secret as locked, write
from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.errors import HubError

NOT_WHOLE, PARTIAL = 7, 10
path = click.Path(path_type=Path, dir_okay=False)
passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file whose first line wraps the secrets of the backup.",
)


def _passphrase(file: Path | None) -> str | None:
    if file is None:
        return None
    text = file.read_text("utf-8").partition("\n")[0].strip()
    if len(text) < locked.PASSPHRASE_MIN:
        raise Failed(f"{file}: the passphrase must have {locked.PASSPHRASE_MIN} characters", 2)
    return text


@click.group("backup")
def backup() -> None:
    """Keep a hub in a file, and bring it back."""


@backup.command("create")
@click.argument("file", type=path)
@passphrase_file
@click.option("--without-secrets", is_flag=True, help="Leave the secrets out.")
@click.option("--tables-only", is_flag=True, help="Leave tarballs and docs out.")
@click.option("--force", is_flag=True, help="Replace FILE when it is there.")
@as_json
@click.pass_obj
def create(
    options: Options,
    file: Path,
    passphrase_file: Path | None,
    without_secrets: bool,
    tables_only: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write a backup of the running node to FILE, and read it again to prove it.

    Exit code 10 when objects were missing or damaged at the hub and so are not in it.
    """
    if (passphrase_file is None) == (not without_secrets):
        raise Failed("give one of --passphrase-file and --without-secrets", 2)
    if file.exists() and not force:
        raise Failed(f"{file} is there already; --force replaces it", 5)
    body = {"passphrase": _passphrase(passphrase_file), "tables_only": tables_only}
    began = time.monotonic()
    try:
        with options.streamed("/backup", body) as pieces:
            size = _written(file, pieces)
        checked = read.verify(file)
    except NotWhole as error:
        raise Failed(f"the backup was not made: {error}", NOT_WHOLE) from None
    if without_secrets:
        click.echo(
            "hexhub: this backup holds no secret: it can be restored only with the "
            "SECRET_KEY_BASE that this hub has now",
            err=True,
        )
    value = _described(file, checked) | {
        "bytes": size,
        "seconds": round(time.monotonic() - began, 2),
    }
    show(value, as_json, _sentence(value))
    if checked.manifest.missing:
        raise Failed(f"{len(checked.manifest.missing)} objects were not to be had", PARTIAL)


def _written(file: Path, pieces: Iterator[bytes]) -> int:
    try:
        return asyncio.run(write.to_file(file, _as_they_come(pieces)))
    except (ConnectionError, TimeoutError):
        raise  # the node's
    except OSError as error:
        raise Failed(f"the backup was not made: {error.strerror or error}") from None


async def _as_they_come(pieces: Any) -> Any:
    for piece in pieces:
        yield piece


def _described(file: Path, checked: read.Checked) -> dict[str, Any]:
    header = checked.header
    return {
        "file": str(file),
        "created_at": header.created_at.isoformat(),
        "version": header.version,
        "node": header.node,
        "applied": header.applied,
        "fingerprint": header.fingerprint,
        "secrets": header.secrets,
        "tables_only": header.tables_only,
        "objects": checked.objects,
        "content_bytes": checked.size,
        "missing": list(checked.manifest.missing),
    }


def _sentence(value: dict[str, Any]) -> str:
    return (
        f"{value['file']}: whole, of {value['created_at']}, log entry {value['applied']}, "
        f"{value['objects']} objects, {value['content_bytes']} bytes, secrets {value['secrets']}, "
        f"signed by {value['fingerprint']}"
    )


@backup.command("verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@passphrase_file
@as_json
def verify(file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check every byte of FILE; with the passphrase also that its keys open. Exit code 7: not whole."""
    try:
        checked = read.verify(file)
        if passphrase_file is not None and checked.header.secrets == "wrapped":
            root = read.root_of(checked.header, checked.locked, _passphrase(passphrase_file))
            if root is not None:
                read.prove(checked.header, root)
    except NotWhole as error:
        raise Failed(str(error), NOT_WHOLE) from None
    value = _described(file, checked)
    show(value, as_json, _sentence(value))


@backup.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@passphrase_file
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@as_json
@click.pass_obj
def restore(
    options: Options, file: Path, passphrase_file: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Bring FILE into the empty DATA_DIR of these settings, with no node running there.

    What STORAGE_TYPE says holds for the objects: a backup of a local storage can go to S3.
    """
    try:
        value = asyncio.run(_restore(options, file, _passphrase(passphrase_file), dry_run))
    except NotWhole as error:
        raise Failed(str(error), NOT_WHOLE) from None
    except (HubError, ClusterError) as error:
        raise Failed(f"not restored: {error}") from None
    except OSError as error:
        raise Failed(f"not restored: {error.strerror or error}") from None
    word = "could be restored" if dry_run else "restored; start the node"
    show(value, as_json, f"{_sentence(value)}\n{word}, data in {value['data_dir']}")


async def _restore(
    options: Options, file: Path, passphrase: str | None, dry_run: bool
) -> dict[str, Any]:
    from hexhub import keyring, parts

    config = options.config
    header, wrapped = read.beginning(file)
    carried = read.root_of(header, wrapped, passphrase)
    given = keyring.existing_root_secret(config)
    old = carried or given
    if old is None:
        raise NotWhole("this backup holds no secret: give the SECRET_KEY_BASE that its hub had")
    read.prove(header, old)
    restoring.check_empty(config.data_dir)
    checked = read.verify(file)
    value = _described(file, checked) | {"data_dir": str(config.data_dir)}
    if dry_run:
        return value
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    restoring.begin(config.data_dir)
    if given is None:
        keyring.keep_root_secret(config, old)
    storage = await parts.open_storage(config)
    done = 0
    last = time.monotonic()

    def progress(size: int) -> None:
        nonlocal done, last
        done += size
        if sys.stderr.isatty() and time.monotonic() - last > 0.2:
            last = time.monotonic()
            print(f"\r{done * 100 // max(1, checked.size)} %", end="", file=sys.stderr, flush=True)

    try:
        target = restoring.Target(
            data_dir=config.data_dir, node=config.node_name, storage=storage, root=given or old
        )
        await restoring.restore(file, header, old, target, progress)
    finally:
        await storage.close()
    return value


@click.group("secret")
def secret() -> None:
    """The root secret of a hub."""


@secret.command("rotate")
@click.option(
    "--to-file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file that holds the new SECRET_KEY_BASE: 32 characters at least.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_obj
def rotate(options: Options, to_file: Path, yes: bool, as_json: bool) -> None:
    """Put every stored secret under a new SECRET_KEY_BASE. No client's key changes.

    Then stop all nodes and start them with the new one; until then they go on with the old.
    """
    new = to_file.read_text("utf-8").strip()
    if len(new) < 32:
        raise Failed(f"{to_file}: a SECRET_KEY_BASE must have 32 characters at least", 2)
    if not yes:
        click.confirm("Every node must then be restarted with the new secret. Go on?", abort=True)
    value = options.ask("POST", "/secret/rotate", body={"secret": new})
    config = options.config
    file = options.node_dir / "secret"
    if config.sources["data_dir"] == "default":
        file = config.secret_file
    in_file = config.secret_key_base is None and file.is_file()
    if in_file:
        _replace(file, new)
    text = f"{value['rewrapped']} secrets are under the new SECRET_KEY_BASE; restart every node"
    text += f" ({file} holds it now)" if in_file else " with it"
    show(value | {"file": str(file) if in_file else None}, as_json, text)


def _replace(file: Path, secret: str) -> None:
    new = file.with_name(file.name + ".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)


COMMANDS = (backup, secret)
