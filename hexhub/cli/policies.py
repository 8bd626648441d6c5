"""Commands about dependency policies."""

from __future__ import annotations

import json
from typing import TextIO

import click

from hexhub.cli.node import Failed, Options, as_json, segment, show, table


@click.group("policy")
def policy() -> None:
    """Signed dependency policies of organizations."""


@policy.command("put")
@click.argument("organization")
@click.argument("name")
@click.argument("file", type=click.File("r"))
@as_json
@click.pass_obj
def put(options: Options, organization: str, name: str, file: TextIO, as_json: bool) -> None:
    """Make or change a policy from a JSON file (- reads standard input).

    Its fields: description, visibility (private or public) and repositories, a list of objects with
    repository, advisory_min_severity, retirement_reasons, cooldown and overrides.
    """
    try:
        given = json.load(file)
    except (ValueError, RecursionError) as error:
        raise Failed(f"{file.name} is no JSON: {error}", 5) from None
    if not isinstance(given, dict):
        raise Failed(f"{file.name} must hold an object", 5)
    path = f"/orgs/{segment(organization)}/policies/{segment(name)}"
    value = options.ask("PUT", path, body=given)
    show(value, as_json, f"the policy {name} of {organization} holds")


@policy.command("list")
@click.argument("organization")
@as_json
@click.pass_obj
def list_policies(options: Options, organization: str, as_json: bool) -> None:
    """The policies of an organization."""
    value = options.ask("GET", f"/orgs/{segment(organization)}/policies")
    rows = [(row["name"], row["visibility"], row["description"] or "") for row in value]
    show(value, as_json, table(rows, ("NAME", "VISIBILITY", "DESCRIPTION")))


@policy.command("delete")
@click.argument("organization")
@click.argument("name")
@as_json
@click.pass_obj
def delete(options: Options, organization: str, name: str, as_json: bool) -> None:
    """Take a policy away."""
    value = options.ask("DELETE", f"/orgs/{segment(organization)}/policies/{segment(name)}")
    show(value, as_json, f"the policy {name} of {organization} is gone")


COMMANDS = (policy,)
