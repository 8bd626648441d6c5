"""Commands that run a node, or say what it is and how it is set."""

from __future__ import annotations

from dataclasses import asdict

import click

from hexhub import __version__
from hexhub.cli.node import Failed, Options, as_json, show, table
from hexhub.config import check_listening, describe, reference
from hexhub.errors import Refused


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what a start would do to the data.")
@as_json
@click.pass_obj
def serve(options: Options, dry_run: bool, as_json: bool) -> None:
    """Run a node in the foreground until SIGTERM or SIGINT."""
    if dry_run:
        _foresee(options, as_json)
        return
    # Imported here: no other command needs the server, and all are to start quickly.
    import uvloop

    from hexhub import logs, serving

    config = options.config
    log = logs.configure(config.log_format, config.log_level)
    try:
        uvloop.run(serving.serve(config, log, options.read_config))
    except Refused as error:
        log.error("the node does not start", reason=str(error))
        raise


def _foresee(options: Options, as_json: bool) -> None:
    """What this version would do to the data of DATA_DIR, where no node runs."""
    from cluster import ClusterError, plan
    from hexhub.schema import schema

    directory = options.config.data_dir / "cluster"
    try:
        found = plan(directory, schema)
    except (ClusterError, OSError) as error:
        raise Failed(f"a node would not start: {error}") from None
    if found is None:
        show(None, as_json, f"no data in {directory}: a new hub would begin there")
        return
    about = (
        f"{directory}: format {found.format}, schema {found.schema}, log entry {found.applied}, "
        f"member{'s' if len(found.members) > 1 else ''} {', '.join(found.members)}"
    )
    if not found.changes:
        will = "a start changes nothing in it"
    else:
        when = "once every member runs this version" if len(found.members) > 1 else "at the start"
        parts = [f"a snapshot of at most {found.bytes} bytes is taken"]
        parts += [f"rows are migrated to schema {number}" for number in found.migrations]
        parts += [f"{table} is indexed anew" for table in found.indexed]
        parts.append(f"the data is of schema {found.knows_schema}, which older versions refuse")
        will = f"{when}, in this order: {'; '.join(parts)}"
    show(asdict(found) | {"changes": found.changes}, as_json, f"{about}\n{will}")


@click.command("public-key")
@click.option("--fingerprint", is_flag=True, help="Print the fingerprint instead.")
@as_json
@click.pass_obj
def public_key(options: Options, fingerprint: bool, as_json: bool) -> None:
    """The key that the registry is signed with, in PEM."""
    value = options.ask("GET", "/public-key")
    show(value, as_json, value["fingerprint"] if fingerprint else value["pem"].rstrip())


@click.command()
@as_json
def routes(as_json: bool) -> None:
    """Every route: method, path, and who may call it."""
    from hexhub import app
    from hexhub.http.metrics import Metrics

    value = [
        {"method": route.method, "path": route.pattern or "/", "permission": route.allow.name}
        for route in app.router(Metrics()).routes
    ]
    rows = [(row["method"], row["path"], row["permission"]) for row in value]
    show(value, as_json, table(rows, ("METHOD", "PATH", "PERMISSION")))


@click.group()
def config() -> None:
    """Settings."""


@config.command("show")
@as_json
@click.pass_obj
def config_show(options: Options, as_json: bool) -> None:
    """Every setting, its value, and where that came from."""
    settings = describe(options.config)
    rows = [(setting.name, setting.value, setting.source) for setting in settings]
    show([asdict(s) for s in settings], as_json, table(rows, ("NAME", "VALUE", "SOURCE")))


@config.command("reference")
def config_reference() -> None:
    """Every setting with its meaning and default, as Markdown."""
    click.echo(reference(), nl=False)


@config.command("check")
@as_json
@click.pass_obj
def config_check(options: Options, as_json: bool) -> None:
    """Whether a node would start with these settings; exit code 1 and the reason when not."""
    check_listening(options.config)
    show({"good": True}, as_json, "the settings are good")


@config.command("reload")
@as_json
@click.pass_obj
def config_reload(options: Options, as_json: bool) -> None:
    """Have the node read its settings file and secret files again, as SIGHUP does.

    What may change while it runs is taken up, other changes are named and wait for a restart
    (exit code 10). Settings that are wrong change nothing (exit code 1).
    """
    value = options.ask("POST", "/config/reload")
    lines = [f"{name} is taken up" for name in value["changed"]]
    lines += [f"{name} needs a restart" for name in value["needs_restart"]]
    show(value, as_json, "\n".join(lines) or "nothing changed")
    if value["needs_restart"]:
        raise Failed("some settings need a restart", 10)


@click.command()
@as_json
def version(as_json: bool) -> None:
    """The version of this program."""
    show({"version": __version__}, as_json, f"hexhub {__version__}")


COMMANDS = (serve, public_key, routes, config, version)
