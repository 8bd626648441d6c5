"""Commands about people, their keys and organizations."""

from __future__ import annotations

import re
import sys

import click

from hexhub.cli.node import Options, as_json, segment, show, table

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _password(from_stdin: bool) -> dict[str, object]:
    """The password on standard input, without the end of its line; nothing when not asked for."""
    if not from_stdin:
        return {}
    return {"password": sys.stdin.readline().rstrip("\r\n")}


password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group("user")
def user() -> None:
    """Accounts of people."""


@user.command("create")
@click.argument("name")
@click.option("--email", required=True, help="Address; counts as verified.")
@click.option("--admin", is_flag=True, help="May administer this hub.")
@password_stdin
@as_json
@click.pass_obj
def user_create(
    options: Options, name: str, email: str, admin: bool, password_stdin: bool, as_json: bool
) -> None:
    """Make an account. Without a password, prints a one-time link to set one."""
    body = {"name": name, "email": email, "admin": admin} | _password(password_stdin)
    value = options.ask("POST", "/users", body=body)
    text = f"{value['user']['username']} was made"
    if value["link"]:
        text += f"; to set a password, within 24 hours:\n{value['link']}"
    show(value, as_json, text)


@user.command("list")
@as_json
@click.pass_obj
def user_list(options: Options, as_json: bool) -> None:
    """Every account."""
    value = options.ask("GET", "/users")
    rows = [
        (
            row["username"],
            row["email"] or "",
            "admin" if row["admin"] else "",
            "disabled" if row["disabled"] else "",
        )
        for row in value
    ]
    show(value, as_json, table(rows, ("NAME", "EMAIL", "ROLE", "STATE")))


@user.command("disable")
@click.argument("name")
@as_json
@click.pass_obj
def user_disable(options: Options, name: str, as_json: bool) -> None:
    """Switch an account off, with all its keys."""
    value = options.ask("POST", f"/users/{segment(name)}/disable")
    show(value, as_json, f"{name} is disabled and all keys of the account are revoked")


@user.command("enable")
@click.argument("name")
@as_json
@click.pass_obj
def user_enable(options: Options, name: str, as_json: bool) -> None:
    """Switch an account on again; its keys stay revoked."""
    value = options.ask("POST", f"/users/{segment(name)}/enable")
    show(value, as_json, f"{name} is enabled")


@user.command("password")
@click.argument("name")
@password_stdin
@as_json
@click.pass_obj
def user_password(options: Options, name: str, password_stdin: bool, as_json: bool) -> None:
    """Set a password, or print a one-time link to set one."""
    body = _password(password_stdin)
    value = options.ask("POST", f"/users/{segment(name)}/password", body=body)
    show(value, as_json, value["link"] or f"the password of {name} is set")


@user.command("admin")
@click.argument("name")
@click.option("--remove", is_flag=True, help="Take the rights away.")
@as_json
@click.pass_obj
def user_admin(options: Options, name: str, remove: bool, as_json: bool) -> None:
    """Let an account administer this hub."""
    value = options.ask("POST", f"/users/{segment(name)}/admin", body={"admin": not remove})
    show(value, as_json, f"{name} is {'no longer ' if remove else ''}an administrator")


@click.group("key")
def key() -> None:
    """API keys."""


owner_options = (
    click.option("--user", "user_name", help="The user whose key it is."),
    click.option("--org", help="The organization whose key it is."),
)


def _owner(user_name: str | None, org: str | None) -> dict[str, str]:
    if (user_name is None) == (org is None):
        raise click.UsageError("say whose key: --user NAME or --org NAME")
    return {"user": user_name} if user_name else {"org": str(org)}


@key.command("create")
@click.argument("name")
@owner_options[0]
@owner_options[1]
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="DOMAIN[:RESOURCE]",
    help="api, api:read, api:write, package:NAME, repositories, repository:ORG, docs:ORG; "
    "may be given more than once. Default: api.",
)
@click.option("--expires", metavar="90d", help="How long it is good for: a number and s m h d w.")
@as_json
@click.pass_obj
def key_create(
    options: Options,
    name: str,
    user_name: str | None,
    org: str | None,
    permissions: tuple[str, ...],
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a key. Prints its secret, and nothing else, on standard output."""
    body: dict[str, object] = {
        "name": name,
        "permissions": [_permission(text) for text in permissions],
        "expires_s": _seconds(expires) if expires else None,
    }
    value = options.ask("POST", "/keys", body=body | _owner(user_name, org))
    show(value, as_json, value["secret"])


def _permission(text: str) -> dict[str, str | None]:
    domain, _, resource = text.partition(":")
    return {"domain": domain, "resource": resource or None}


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration such as 90d", param_hint="--expires")
    return int(match[1]) * UNITS_S[match[2]]


@key.command("list")
@owner_options[0]
@owner_options[1]
@as_json
@click.pass_obj
def key_list(options: Options, user_name: str | None, org: str | None, as_json: bool) -> None:
    """Live keys of an owner."""
    value = options.ask("GET", "/keys", query=_owner(user_name, org))
    rows = [
        (
            row["name"],
            " ".join(row["permissions"]),
            row["revoke_at"] or "never",
            row["used_at"] or "never",
        )
        for row in value
    ]
    show(value, as_json, table(rows, ("NAME", "PERMISSIONS", "EXPIRES", "LAST USED")))


@key.command("revoke")
@click.argument("name")
@owner_options[0]
@owner_options[1]
@as_json
@click.pass_obj
def key_revoke(
    options: Options, name: str, user_name: str | None, org: str | None, as_json: bool
) -> None:
    """End a key."""
    value = options.ask("DELETE", f"/keys/{segment(name)}", query=_owner(user_name, org))
    show(value, as_json, f"{name} is revoked")


@click.group("org")
def org() -> None:
    """Organizations and their private repositories."""


@org.command("create")
@click.argument("name")
@click.option("--admin", required=True, help="The user who administers it.")
@as_json
@click.pass_obj
def org_create(options: Options, name: str, admin: str, as_json: bool) -> None:
    """Make an organization with its private repository."""
    value = options.ask("POST", "/orgs", body={"name": name, "admin": admin})
    show(value, as_json, f"organization {value['name']} was made, {admin} administers it")


@org.command("list")
@as_json
@click.pass_obj
def org_list(options: Options, as_json: bool) -> None:
    """Every organization with its members."""
    value = options.ask("GET", "/orgs")
    rows = [
        (row["name"], " ".join(f"{name}({role})" for name, role in row["members"].items()))
        for row in value
    ]
    show(value, as_json, table(rows, ("NAME", "MEMBERS")))


COMMANDS = (user, key, org)
