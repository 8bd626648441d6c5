"""Commands about sign-ins: second factors, sessions, OAuth clients, ends of accounts."""

from __future__ import annotations

import click

from hexhub.cli.accounts import user
from hexhub.cli.node import Options, as_json, segment, show, table


@user.command("two-factor-off")
@click.argument("name")
@as_json
@click.pass_obj
def two_factor_off(options: Options, name: str, as_json: bool) -> None:
    """Take two-factor authentication away from somebody who has lost it."""
    value = options.ask("POST", f"/users/{segment(name)}/two-factor/off")
    show(value, as_json, f"{name} signs in with the password alone now")


@user.command("sign-out")
@click.argument("name")
@as_json
@click.pass_obj
def sign_out(options: Options, name: str, as_json: bool) -> None:
    """End every session of an account, in browsers and clients; its keys stay."""
    value = options.ask("POST", f"/users/{segment(name)}/sessions/end")
    show(value, as_json, f"{name} is signed out everywhere")


@user.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Nobody can have this name again. Delete the account?")
@as_json
@click.pass_obj
def delete(options: Options, name: str, as_json: bool) -> None:
    """Delete an account for good, with its keys and sessions. Its packages stay."""
    value = options.ask("POST", f"/users/{segment(name)}/delete")
    show(value, as_json, f"{name} is deleted")


@click.group("client")
def client() -> None:
    """OAuth clients: programs that people let in."""


@client.command("list")
@as_json
@click.pass_obj
def client_list(options: Options, as_json: bool) -> None:
    """Every client."""
    value = options.ask("GET", "/clients")
    rows = [
        (
            row["client_id"],
            row["name"],
            "confidential" if row["confidential"] else "public",
            " ".join(row["scopes"]),
            " ".join(row["redirect_uris"]),
        )
        for row in value
    ]
    show(value, as_json, table(rows, ("ID", "NAME", "KIND", "SCOPES", "REDIRECTS")))


@client.command("create")
@click.argument("name")
@click.option("--redirect-uri", "uris", multiple=True, required=True, help="Where answers go.")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may ask for.")
@click.option("--confidential", is_flag=True, help="It has a secret, and must show it.")
@as_json
@click.pass_obj
def client_create(
    options: Options,
    name: str,
    uris: tuple[str, ...],
    scopes: tuple[str, ...],
    confidential: bool,
    as_json: bool,
) -> None:
    """Make a client for a web application. Its secret is printed once."""
    body = {
        "name": name,
        "redirect_uris": list(uris),
        "scopes": list(scopes),
        "confidential": confidential,
    }
    value = options.ask("POST", "/clients", body=body)
    text = f"client_id {value['client_id']}"
    if value["client_secret"]:
        text += f"\nclient_secret {value['client_secret']}"
    show(value, as_json, text)


@client.command("remove")
@click.argument("client_id")
@as_json
@click.pass_obj
def client_remove(options: Options, client_id: str, as_json: bool) -> None:
    """Remove a client and end its sessions."""
    value = options.ask("POST", f"/clients/{segment(client_id)}/remove")
    show(value, as_json, f"{client_id} is removed, {value['sessions']} sessions ended")


COMMANDS = (client,)
