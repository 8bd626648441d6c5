"""Commands that move packages, or take packages and organizations away for good."""

from __future__ import annotations

import click

from hexhub.cli.accounts import org
from hexhub.cli.node import Options, as_json, segment, show
from hexhub.cli.rules import package

reason_option = click.option("--reason", required=True, help="Why; goes to the owners and the log.")


@package.command("remove")
@click.argument("package_name", metavar="REPOSITORY/NAME")
@click.argument("version", required=False)
@reason_option
@as_json
@click.pass_obj
def package_remove(
    options: Options, package_name: str, version: str | None, reason: str, as_json: bool
) -> None:
    """Remove a package, or one version of it. The name (or the version) stays reserved."""
    path = _path(package_name)
    if version:
        path += f"/releases/{segment(version)}"
    value = options.ask("POST", f"{path}/remove", body={"reason": reason})
    what = f"version {version} of {package_name}" if version else package_name
    show(value, as_json, f"{what} is removed and stays reserved")


@package.command("move")
@click.argument("package_name", metavar="REPOSITORY/NAME")
@click.argument("target", metavar="REPOSITORY")
@as_json
@click.pass_obj
def package_move(options: Options, package_name: str, target: str, as_json: bool) -> None:
    """Move a package to another repository: hexpm, or an organization's."""
    value = options.ask("POST", f"{_path(package_name)}/move", body={"to": target})
    show(value, as_json, f"{package_name} is now {value['repository']}/{value['name']}")


def _path(package_name: str) -> str:
    repository, slash, name = package_name.partition("/")
    if not slash:
        raise click.BadParameter("write it as REPOSITORY/NAME, such as hexpm/acorn")
    return f"/repos/{segment(repository)}/packages/{segment(name)}"


@org.command("delete")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--reason", help="Why; goes to the owners and the log.")
@as_json
@click.pass_obj
def org_delete(
    options: Options, name: str, dry_run: bool, reason: str | None, as_json: bool
) -> None:
    """Remove an organization with its packages, keys and policies. The name stays reserved."""
    if dry_run:
        value = options.ask("GET", f"/orgs/{segment(name)}/extent")
        lines = [
            f"would remove the organization {name} with",
            f"  packages: {', '.join(value['packages']) or 'none'}",
            f"  members: {', '.join(value['members']) or 'none'}",
            f"  keys: {value['keys']}, policies: {value['policies']}",
        ]
        if value["left_without_owner"]:
            listed = ", ".join(value["left_without_owner"])
            lines.append(f"  hand these public packages over first: {listed}")
        show(value, as_json, "\n".join(lines))
        return
    if not reason:
        raise click.UsageError("say why with --reason, or look first with --dry-run")
    value = options.ask("POST", f"/orgs/{segment(name)}/remove", body={"reason": reason})
    show(value, as_json, f"the organization {name} is removed, and the name stays reserved")


COMMANDS: tuple[click.Command, ...] = ()
