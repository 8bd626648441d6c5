"""Commands about the objects: how much there is, what nobody needs, and moving them."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.cli.progress import Progress
from hexhub.errors import HubError

PARTIAL = 10


@click.group("storage")
def storage() -> None:
    """Tarballs and documentation as they are kept."""


@storage.command("stats")
@as_json
@click.pass_obj
def stats(options: Options, as_json: bool) -> None:
    """How much is kept, and how much of it nothing points to."""
    value = options.ask("GET", "/storage", timeout_s=600)
    text = "\n".join(f"{name.replace('_', ' ')}: {each}" for name, each in value.items())
    show(value, as_json, text)


@storage.command("sweep")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--older-than", "hours", default=24, show_default=True, help="Hours, 1 at least.")
@as_json
@click.pass_obj
def sweep(options: Options, dry_run: bool, hours: int, as_json: bool) -> None:
    """Delete objects that nothing points to. Younger ones may be uploads on their way."""
    body = {"dry_run": dry_run, "older_than_s": hours * 3600}
    value = options.ask("POST", "/storage/sweep", body=body, timeout_s=600)
    if dry_run:
        lines = [f"{each['object']}  {each['bytes']} bytes" for each in value["objects"]]
        show(value, as_json, "\n".join([*lines, f"{value['would_delete']} would be deleted"]))
    else:
        show(value, as_json, f"{value['deleted']} deleted")


@storage.command("migrate")
@click.option("--to", required=True, type=click.Choice(["s3", "local"]), help="Where to.")
@click.option("--no-read-back", is_flag=True, help="Trust the target: do not read copies again.")
@as_json
@click.pass_obj
def migrate(options: Options, to: str, no_read_back: bool, as_json: bool) -> None:
    """Copy every object from STORAGE_PATH to the bucket, or back. The node may go on meanwhile.

    Run it again to go on where it ended. Then stop the node, run it once more for what was
    published meanwhile, set STORAGE_TYPE, and start. Exit code 10: some could not be copied.
    """
    value = asyncio.run(_migrate(options, to, not no_read_back))
    text = (
        f"{value['wanted']} objects: {value['there']} were there, {value['copied']} copied "
        f"({value['copied_bytes']} bytes), {len(value['failed'])} failed"
    )
    show(value, as_json, text)
    for name, reason in value["failed"].items():
        click.echo(f"hexhub: {name}: {reason}", err=True)
    if value["failed"]:
        raise Failed("not everything was copied; run this again", PARTIAL)


async def _migrate(options: Options, to: str, read_back: bool) -> dict[str, Any]:
    from hexhub import parts
    from hexhub.storage.local import LocalStorage
    from hexhub.storage.migrate import Report, migrate
    from hexhub.storage.s3 import S3Storage
    from hexhub.storage.spool import Spool

    config = options.config
    bar = Progress("objects")

    def progress(report: Report) -> None:
        done = report.there + report.copied + len(report.failed)
        bar.show(done, report.wanted, f", {report.copied_bytes} bytes copied")

    bucket = await S3Storage.connect(parts.bucket_of(config))
    local = LocalStorage(config.storage_path)
    try:
        await bucket.check()
        source, target = (local, bucket) if to == "s3" else (bucket, local)
        # On the same disk as the objects, so that a copy is renamed into place.
        with tempfile.TemporaryDirectory(dir=config.storage_path.parent) as folder:
            spool = Spool(Path(folder) / "spool")
            report = await migrate(source, target, spool, progress, read_back=read_back)
    except HubError as error:
        raise Failed(str(error)) from None
    finally:
        bar.end()
        await bucket.close()
        await local.close()
    return asdict(report)


COMMANDS = (storage,)
