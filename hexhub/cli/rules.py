"""Commands about the rules of repositories, and about names that the upstream may not be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hexhub.cli.node import Failed, Options, as_json, segment, show, table
from hexhub.errors import Malformed
from hexhub.formats import lockfile


@click.group("rules")
def rules() -> None:
    """What a repository holds back: allow and deny lists, cooldown, retired, advisories.

    Rules of hexpm are about what comes from the upstream, those of an organization about its own.
    """


@rules.command("list")
@as_json
@click.pass_obj
def rules_list(options: Options, as_json: bool) -> None:
    """Every rule that is on, of every repository."""
    value = options.ask("GET", "/rules")
    rows = [
        (row["repository"], row["id"], row["value"] or "", row["created_at"][:16]) for row in value
    ]
    text = table(rows, ("REPOSITORY", "RULE", "VALUE", "SINCE")) if rows else "no rules"
    show(value, as_json, text)


def _add(options: Options, as_json: bool, **values: object) -> None:
    value = options.ask("POST", "/rules", body=values)
    show(value, as_json, f"the rule '{value['id']}' is on{_of(value['repository'])}")


def _of(repository: str) -> str:
    """Which repository, where it goes without saying that it is hexpm."""
    return "" if repository == "hexpm" else f" for {repository}"


repository_option = click.option(
    "--repository", default="hexpm", metavar="R", help="Whose rule: hexpm, or an organization's."
)
version_option = click.option(
    "--version", "requirement", metavar="REQ", help='Only versions that match, e.g. "< 1.4.0".'
)
package_option = click.option(
    "--package", "pattern", default="*", metavar="PATTERN", help="Only packages that match."
)


@rules.command("allow")
@click.argument("pattern")
@version_option
@repository_option
@as_json
@click.pass_obj
def rules_allow(
    options: Options, pattern: str, requirement: str | None, repository: str, as_json: bool
) -> None:
    """Let releases pass whatever less particular rules say."""
    _add(
        options,
        as_json,
        repository=repository,
        kind="allow",
        pattern=pattern,
        requirement=requirement,
    )


@rules.command("deny")
@click.argument("pattern")
@version_option
@repository_option
@as_json
@click.pass_obj
def rules_deny(
    options: Options, pattern: str, requirement: str | None, repository: str, as_json: bool
) -> None:
    """Hold releases back. With `deny '*'` only what is allowed passes."""
    _add(
        options,
        as_json,
        repository=repository,
        kind="deny",
        pattern=pattern,
        requirement=requirement,
    )


@rules.command("cooldown")
@click.argument("age")
@package_option
@repository_option
@as_json
@click.pass_obj
def rules_cooldown(
    options: Options, age: str, pattern: str, repository: str, as_json: bool
) -> None:
    """Hold releases back until they have an age: 12h, 7d, 2w, 1mo."""
    _add(options, as_json, repository=repository, kind="cooldown", pattern=pattern, value=age)


@rules.command("retired")
@package_option
@repository_option
@as_json
@click.pass_obj
def rules_retired(options: Options, pattern: str, repository: str, as_json: bool) -> None:
    """Hold back releases that were retired for security."""
    _add(options, as_json, repository=repository, kind="retired", pattern=pattern)


@rules.command("advisory")
@click.argument("severity")
@package_option
@repository_option
@as_json
@click.pass_obj
def rules_advisory(
    options: Options, severity: str, pattern: str, repository: str, as_json: bool
) -> None:
    """Hold back releases with an advisory of this severity or more: low, medium, high, critical."""
    _add(options, as_json, repository=repository, kind="advisory", pattern=pattern, value=severity)


@rules.command("remove")
@click.argument("rule")
@repository_option
@as_json
@click.pass_obj
def rules_remove(options: Options, rule: str, repository: str, as_json: bool) -> None:
    """Switch a rule off; RULE is what `rules list` shows."""
    value = options.ask("POST", "/rules/remove", body={"id": rule, "repository": repository})
    show(value, as_json, f"the rule '{rule}' is off{_of(repository)}")


def _verdict(value: dict[str, Any]) -> str:
    return f"refused by '{value['rule']}': {value['why']}" if value["refused"] else "passes"


@rules.command("explain")
@click.argument("package", metavar="[R/]PACKAGE")
@click.argument("version")
@as_json
@click.pass_obj
def rules_explain(options: Options, package: str, version: str, as_json: bool) -> None:
    """Say whether a release passes, and which rule decides."""
    repository, _, name = package.rpartition("/")
    body = {"repository": repository or "hexpm", "name": name, "version": version}
    value = options.ask("POST", "/rules/judge", body=body)
    decided = f" ({value['why']})" if not value["refused"] else ""
    show(value, as_json, f"{package} {version} {_verdict(value)}{decided}")


@rules.command("test")
@click.option(
    "--lock",
    "lock",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A mix.lock or rebar.lock.",
)
@click.option("--deny", multiple=True, metavar="PATTERN", help="As if this were denied.")
@click.option("--cooldown", metavar="AGE", help="As if releases had to have this age.")
@click.option("--retired", is_flag=True, help="As if releases retired for security were refused.")
@click.option("--advisory", metavar="SEVERITY", help="As if advisories were.")
@repository_option
@as_json
@click.pass_obj
def rules_test(
    options: Options,
    lock: str,
    deny: tuple[str, ...],
    cooldown: str | None,
    retired: bool,
    advisory: str | None,
    repository: str,
    as_json: bool,
) -> None:
    """Show what the rules, and those given here, would refuse of a project. Exit code 5 if any.

    Every release is judged by its repository; --repository says whose the rules given here are.
    """
    extra: list[dict[str, object]] = [{"kind": "deny", "pattern": each} for each in deny]
    extra += [{"kind": "cooldown", "value": cooldown}] if cooldown else []
    extra += [{"kind": "retired"}] if retired else []
    extra += [{"kind": "advisory", "value": advisory}] if advisory else []
    extra = [each | {"repository": repository} for each in extra]
    value, other = [], []
    for each in read_lock(lock).releases:
        body = {"repository": _organization(each.repository), "name": each.name}
        try:
            value.append(
                options.ask(
                    "POST", "/rules/judge", body=body | {"version": each.version, "extra": extra}
                )
            )
        except Failed as error:
            if error.exit_code != 3:
                raise
            other.append((each.repository, each.name, each.version, "not of this hub"))
    rows = [(row["repository"], row["name"], row["version"], _verdict(row)) for row in value]
    text = table(rows + other, ("REPOSITORY", "PACKAGE", "VERSION", "VERDICT"))
    show(value, as_json, text)
    refused = sum(row["refused"] for row in value)
    if refused:
        raise Failed(f"{refused} of {len(value)} releases would be refused", 5)


def _organization(repository: str) -> str:
    """The repository here that a client knows as `hexpm:ORG` or `hub:ORG`."""
    return repository.rpartition(":")[2]


def read_lock(path: str) -> lockfile.Lock:
    """A lock file. Raises Failed."""
    file = Path(path)
    try:
        return lockfile.parse(file.name, file.read_text("utf-8"))
    except (Malformed, UnicodeDecodeError) as error:
        raise Failed(f"{file}: {error}", 2) from None


@click.group("package")
def package() -> None:
    """Names that are here, at the upstream, or reserved."""


def _split(name: str) -> tuple[str, str]:
    repository, slash, package_name = name.partition("/")
    if not slash:
        raise Failed("say the repository too: hexpm/NAME, or ORGANIZATION/NAME", 2)
    return repository, package_name


@package.command("allow")
@click.argument("name", metavar="R/NAME")
@click.option(
    "--wins",
    type=click.Choice(("own", "upstream")),
    default="own",
    help="Whose package the public addresses serve.",
)
@as_json
@click.pass_obj
def package_allow(options: Options, name: str, wins: str, as_json: bool) -> None:
    """Let a name be published here although the upstream has it."""
    repository, package_name = _split(name)
    body = {"repository": repository, "name": package_name, "wins": wins}
    value = options.ask("POST", "/names/allowed", body=body)
    show(value, as_json, f"{name} is allowed; {wins} wins")


@package.command("disallow")
@click.argument("name", metavar="R/NAME")
@as_json
@click.pass_obj
def package_disallow(options: Options, name: str, as_json: bool) -> None:
    """Take that word back."""
    repository, package_name = _split(name)
    value = options.ask("DELETE", f"/names/allowed/{segment(repository)}/{segment(package_name)}")
    show(value, as_json, f"{name} is no longer allowed")


@package.command("allowed")
@as_json
@click.pass_obj
def package_allowed(options: Options, as_json: bool) -> None:
    """Names that are allowed."""
    value = options.ask("GET", "/names/allowed")
    rows = [(f"{row['repository']}/{row['name']}", row["wins"]) for row in value]
    show(value, as_json, table(rows, ("NAME", "WINS")))


@package.command("clashes")
@as_json
@click.pass_obj
def package_clashes(options: Options, as_json: bool) -> None:
    """Packages of ours whose name is at the upstream, or could not be checked yet."""
    value = options.ask("GET", "/names/clashes")
    rows = [(f"{row['repository']}/{row['name']}", row["clash"]) for row in value]
    show(value, as_json, table(rows, ("NAME", "AT THE UPSTREAM")))


@package.command("reserve")
@click.argument("pattern")
@as_json
@click.pass_obj
def package_reserve(options: Options, pattern: str, as_json: bool) -> None:
    """Never ask the upstream for names such as 'acme_*'."""
    value = options.ask("POST", "/names/reserved", body={"pattern": pattern})
    show(value, as_json, f"{pattern} is reserved")


@package.command("release")
@click.argument("pattern")
@as_json
@click.pass_obj
def package_release(options: Options, pattern: str, as_json: bool) -> None:
    """Take a reservation back."""
    value = options.ask("DELETE", f"/names/reserved/{segment(pattern)}")
    show(value, as_json, f"{pattern} is no longer reserved")


@package.command("reserved")
@as_json
@click.pass_obj
def package_reserved(options: Options, as_json: bool) -> None:
    """Patterns of reserved names."""
    value = options.ask("GET", "/names/reserved")
    show(value, as_json, "\n".join(row["pattern"] for row in value) or "no names are reserved")


COMMANDS = (rules, package)
