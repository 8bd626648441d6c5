"""Commands about networks that are treated apart."""

from __future__ import annotations

import click

from hexhub.cli.node import Options, as_json, show, table


@click.group("network")
def network() -> None:
    """Networks that are blocked, or have no rate limit."""


def _put(options: Options, address: str, rule: str, reason: str, as_json: bool) -> None:
    body = {"network": address, "rule": rule, "reason": reason}
    value = options.ask("POST", "/networks", body=body)
    show(value, as_json, f"{value['network']} is {rule}")


@network.command("block")
@click.argument("address")
@click.option("--reason", default="", help="Why, for whoever reads the list.")
@as_json
@click.pass_obj
def block(options: Options, address: str, reason: str, as_json: bool) -> None:
    """Answer nothing but 403 to an address or a network."""
    _put(options, address, "blocked", reason, as_json)


@network.command("unlimit")
@click.argument("address")
@click.option("--reason", default="", help="Why, for whoever reads the list.")
@as_json
@click.pass_obj
def unlimit(options: Options, address: str, reason: str, as_json: bool) -> None:
    """Never limit an address or a network."""
    _put(options, address, "unlimited", reason, as_json)


@network.command("forget")
@click.argument("address")
@as_json
@click.pass_obj
def forget(options: Options, address: str, as_json: bool) -> None:
    """Treat an address or a network as any other again."""
    value = options.ask("POST", "/networks/forget", body={"network": address})
    show(value, as_json, f"{address} is treated as any other")


@network.command("list")
@as_json
@click.pass_obj
def list_networks(options: Options, as_json: bool) -> None:
    """Every network that is treated apart."""
    value = options.ask("GET", "/networks")
    rows = [(row["network"], row["rule"], row["reason"]) for row in value]
    show(value, as_json, table(rows, ("NETWORK", "RULE", "REASON")))


COMMANDS = (network,)
