"""What is wrong here, and what to do about it: for an operator, and for a developer's machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from string import Template

import click

from hexhub.cli import checks_around as around, checks_here as here
from hexhub.cli.checks_here import Finding, now
from hexhub.cli.node import Failed, Options, as_json, show

LEVELS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


def examine(options: Options) -> Iterator[Finding]:
    """Everything, one after the other; nothing is changed."""
    config = options.config
    yield from here.settings(config)
    yield from here.disk(config, options.node_dir)
    yield from here.descriptors()
    yield from here.secret(config)
    yield from here.keys(config)
    yield from here.certificate(config)
    yield from around.dns(config)
    yield from around.node(config)
    yield from around.signing(options)
    yield from around.members(options)
    yield from around.bucket(config)
    yield from around.upstream(config)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at everything that a node depends on, and say what to do about what is wrong.

    Settings, disk, descriptors, secret, keys, certificate, DNS, node, storage, members, clocks,
    bucket and upstream. Nothing is changed. Exit codes: 0 nothing is bad, 1 something is.
    """
    if context.invoked_subcommand is not None:
        return
    options: Options = context.obj
    found = list(examine(options))
    lines = []
    for each in found:
        lines.append(f"{LEVELS[each.level]}  {each.about}: {each.said}")
        if each.fix and each.level != "ok":
            lines.append(f"      fix: {each.fix}")
    value = {"at": now().isoformat(), "findings": [asdict(each) for each in found]}
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
