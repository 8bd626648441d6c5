"""Commands about how much each repository may hold."""

from __future__ import annotations

import re

import click

from hexhub.cli.node import Options, as_json, segment, show, table

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)", text.upper().removesuffix("B").removesuffix("I"))
    if match is None:
        raise click.BadParameter(f"{text!r} is no size such as 10G", param_hint="--bytes")
    return int(match[1]) * UNITS[match[2]]


@click.group("quota")
def quota() -> None:
    """How much a repository may hold: hexpm, or an organization's. None has a bound at first."""


@quota.command("list")
@as_json
@click.pass_obj
def quota_list(options: Options, as_json: bool) -> None:
    """Every repository that has a quota, and what it holds."""
    value = options.ask("GET", "/quotas")
    rows = [
        (
            row["repository"],
            f"{row['used_bytes']} of {_bound(row['bytes'])}",
            f"{row['used_packages']} of {_bound(row['packages'])}",
        )
        for row in value
    ]
    text = table(rows, ("REPOSITORY", "BYTES", "PACKAGES")) if rows else "no quotas"
    show(value, as_json, text)


def _bound(value: int | None) -> str:
    return "any" if value is None else str(value)


@quota.command("set")
@click.argument("repository")
@click.option("--bytes", "size", metavar="10G", help="Bytes of tarballs at most; K M G T.")
@click.option("--packages", type=int, metavar="N", help="Packages at most.")
@as_json
@click.pass_obj
def quota_set(
    options: Options, repository: str, size: str | None, packages: int | None, as_json: bool
) -> None:
    """Bound a repository. A bound that is not named here is taken away.

    What is there stays, also above the bound; what would go above it is refused (422), and the
    publisher reads why.
    """
    if size is None and packages is None:
        raise click.UsageError("say what is bounded: --bytes or --packages")
    body = {"bytes": _size(size), "packages": packages}
    value = options.ask("PUT", f"/quotas/{segment(repository)}", body=body)
    text = (
        f"{repository}: {value['used_bytes']} of {_bound(value['bytes'])} bytes, "
        f"{value['used_packages']} of {_bound(value['packages'])} packages"
    )
    show(value, as_json, text)


@quota.command("remove")
@click.argument("repository")
@as_json
@click.pass_obj
def quota_remove(options: Options, repository: str, as_json: bool) -> None:
    """Take the bounds away."""
    value = options.ask("DELETE", f"/quotas/{segment(repository)}")
    show(value, as_json, f"{repository} has no quota")


COMMANDS = (quota,)
