"""Commands about what every client prints."""

from __future__ import annotations

import click

from hexhub.cli.node import Options, as_json, show


@click.group("notice")
def notice() -> None:
    """A line that mix prints with every answer of the API."""


@notice.command("set")
@click.argument("text")
@click.option("--level", type=click.Choice(["warn", "fatal"]), default="warn", show_default=True)
@as_json
@click.pass_obj
def set_notice(options: Options, text: str, level: str, as_json: bool) -> None:
    """Set the line."""
    value = options.ask("PUT", "/notice", body={"text": text, "level": level})
    show(value, as_json, f"clients print: {value['text']}")


@notice.command("clear")
@as_json
@click.pass_obj
def clear(options: Options, as_json: bool) -> None:
    """Take the line away."""
    show(options.ask("DELETE", "/notice"), as_json, "clients print nothing")


@notice.command("show")
@as_json
@click.pass_obj
def show_notice(options: Options, as_json: bool) -> None:
    """The line that holds."""
    value = options.ask("GET", "/notice")
    show(value, as_json, value["text"] or "no notice is set")


COMMANDS = (notice,)
