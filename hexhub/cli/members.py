"""Commands about the members of organizations."""

from __future__ import annotations

import click

from hexhub.cli.accounts import org
from hexhub.cli.node import Options, as_json, segment, show, table

role_option = click.option(
    "--role", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True
)


@org.group("member")
def member() -> None:
    """Who belongs to an organization, and with which role."""


@member.command("add")
@click.argument("organization")
@click.argument("username")
@role_option
@as_json
@click.pass_obj
def add(options: Options, organization: str, username: str, role: str, as_json: bool) -> None:
    """Take a user in."""
    body = {"name": username, "role": role}
    value = options.ask("POST", f"/orgs/{segment(organization)}/members", body=body)
    show(value, as_json, f"{value['username']} may {value['role']} in {organization}")


@member.command("role")
@click.argument("organization")
@click.argument("username")
@click.argument("role", type=click.Choice(["read", "write", "admin"]))
@as_json
@click.pass_obj
def set_role(options: Options, organization: str, username: str, role: str, as_json: bool) -> None:
    """Change the role of a member."""
    path = f"/orgs/{segment(organization)}/members/{segment(username)}"
    value = options.ask("POST", path, body={"role": role})
    show(value, as_json, f"{value['username']} may {value['role']} in {organization}")


@member.command("remove")
@click.argument("organization")
@click.argument("username")
@as_json
@click.pass_obj
def remove(options: Options, organization: str, username: str, as_json: bool) -> None:
    """Let a member go."""
    path = f"/orgs/{segment(organization)}/members/{segment(username)}"
    value = options.ask("DELETE", path)
    show(value, as_json, f"{username} is no member of {organization}")


@member.command("list")
@click.argument("organization")
@as_json
@click.pass_obj
def list_members(options: Options, organization: str, as_json: bool) -> None:
    """Members with their roles."""
    value = options.ask("GET", f"/orgs/{segment(organization)}/members")
    rows = [(row["username"], row["role"]) for row in value]
    show(value, as_json, table(rows, ("NAME", "ROLE")))


COMMANDS: tuple[click.Command, ...] = ()
