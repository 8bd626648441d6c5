"""Commands about the mirror: fetch what projects need, look, verify, evict."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from hexhub.cli.node import Failed, Options, as_json, show, table
from hexhub.cli.rules import read_lock
from hexhub.formats.lockfile import Locked

AT_ONCE = 8


@click.group("mirror")
def mirror() -> None:
    """Kept copies of the upstream's packages."""


@mirror.command("add")
@click.option(
    "--lock",
    "locks",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="mix.lock, rebar.lock or manifest.toml; may be given more than once.",
)
@click.option("--with-docs", is_flag=True, help="Documentation too.")
@as_json
@click.pass_obj
def mirror_add(options: Options, locks: tuple[str, ...], with_docs: bool, as_json: bool) -> None:
    """Fetch all that projects need. What is there already is not fetched again."""
    wanted, results = _wanted(locks)
    results += options.ask("POST", "/mirror/lists")

    def fetch(each: Locked) -> list[dict[str, Any]]:
        body = {
            "name": each.name,
            "version": each.version,
            "checksum": each.checksum,
            "docs": with_docs,
        }
        try:
            found: list[dict[str, Any]] = options.ask(
                "POST", "/mirror/fetch", body=body, timeout_s=120
            )
        except Failed as error:
            if error.exit_code == 6:
                raise
            return [result(f"tarballs/{each.name}-{each.version}.tar", "failed", str(error))]
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in progress(pool.map(fetch, wanted), len(wanted), "Fetching"):
            results += found
    finish(results, as_json)


def _wanted(locks: Iterable[str]) -> tuple[list[Locked], list[dict[str, Any]]]:
    """Every release once, and what of the lock files is not for this mirror."""
    wanted: dict[tuple[str, str], Locked] = {}
    skipped = []
    for path in locks:
        lock = read_lock(path)
        for each in lock.releases:
            if each.repository == "hexpm":
                wanted[each.name, each.version] = each
            else:
                why = f"it is of the repository {each.repository}"
                skipped.append(result(f"{each.name} {each.version}", "skipped", why))
        skipped += [result(each, "skipped", "it is no Hex package") for each in lock.other]
    return list(wanted.values()), skipped


def result(path: str, status: str, why: str = "") -> dict[str, Any]:
    return {"path": path, "status": status, "why": why}


def progress(items: Iterable[Any], length: int, label: str) -> Iterator[Any]:
    """The items, with a bar where a person looks."""
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, length=length, label=label, file=sys.stderr) as bar:
        yield from bar


def finish(results: list[dict[str, Any]], as_json: bool) -> None:
    """Say what became of each file. Raises Failed unless all of them are here."""
    counts = Counter(row["status"] for row in results)
    told = [row for row in results if row["status"] not in ("had", "fetched")]
    lines = [(row["path"], row["status"], row["why"]) for row in told]
    sums = ", ".join(f"{counts[each]} {each}" for each in sorted(counts))
    text = f"{len(results)} wanted: {sums or 'nothing'}"
    if lines:
        text = table(lines, ("FILE", "RESULT", "WHY")) + "\n\n" + text
    show({"wanted": len(results), **counts, "files": results}, as_json, text)
    if counts["failed"] or counts["missing"]:
        raise Failed(f"{counts['failed'] + counts['missing']} files are not here", 1)
    if counts["refused"]:
        raise Failed(f"{counts['refused']} files are held back by rules", 5)


@mirror.command("list")
@as_json
@click.pass_obj
def mirror_list(options: Options, as_json: bool) -> None:
    """Packages of which something is kept."""
    value = options.ask("GET", "/mirror/kept")
    packages: dict[str, list[dict[str, Any]]] = {}
    for row in value:
        kind, _, rest = row["path"].partition("/")
        if kind in ("packages", "tarballs", "docs"):
            packages.setdefault(rest.partition("-")[0], []).append(row)
    rows = [
        (
            name,
            str(sum(row["path"].startswith("tarballs/") for row in files)),
            str(sum(row["path"].startswith("docs/") for row in files)),
            size_text(sum(row["size"] for row in files)),
            max(row["used_at"] for row in files)[:16],
        )
        for name, files in sorted(packages.items())
    ]
    text = table(rows, ("PACKAGE", "TARBALLS", "DOCS", "SIZE", "LAST USED"))
    show(value, as_json, text)


@mirror.command("show")
@click.argument("package")
@as_json
@click.pass_obj
def mirror_show(options: Options, package: str, as_json: bool) -> None:
    """What is kept of one package."""
    value = options.ask("GET", "/mirror/kept", query={"package": package})
    if not value:
        raise Failed(f"nothing of {package} is kept", 3)
    rows = [
        (row["path"], size_text(row["size"]), row["fetched_at"][:16], row["used_at"][:16])
        for row in value
    ]
    show(value, as_json, table(rows, ("FILE", "SIZE", "FETCHED", "LAST USED")))


@mirror.command("stats")
@as_json
@click.pass_obj
def mirror_stats(options: Options, as_json: bool) -> None:
    """How much is kept, how requests were answered, how the upstream does."""
    value = options.ask("GET", "/mirror/stats")
    upstream = value["upstream"]
    rows = [
        (kind, str(sums["files"]), size_text(sums["bytes"])) for kind, sums in value["kept"].items()
    ]
    state = "offline by intention" if upstream["offline"] else f"circuit {upstream['circuit']}"
    lines = [
        table(rows, ("KIND", "FILES", "SIZE")),
        "",
        f"upstream  {upstream['url']}, {state}"
        + (f", last error: {upstream['last_error']}" if upstream["last_error"] else ""),
        f"requests  {_sums(upstream['requests'])}",
        f"answers   {_sums(value['answers'])}",
        f"refused   {_sums(value['refused'])}",
    ]
    show(value, as_json, "\n".join(lines))


def _sums(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def size_text(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


@mirror.command("verify")
@as_json
@click.pass_obj
def mirror_verify(options: Options, as_json: bool) -> None:
    """Hash every kept copy again. Exit code 1 if one is damaged."""
    rows = options.ask("GET", "/mirror/kept")

    def check(row: dict[str, Any]) -> Any:
        return options.ask("POST", "/mirror/verify", body={"path": row["path"]}, timeout_s=120)

    results = list(progress(map(check, rows), len(rows), "Verifying"))
    bad = [row for row in results if row["status"] != "good"]
    text = f"{len(results)} files, {len(bad)} damaged"
    if bad:
        lines = [(row["path"], row["why"]) for row in bad]
        text = table(lines, ("FILE", "WHY")) + "\n\n" + text
    show(results, as_json, text)
    if bad:
        raise Failed("evict what is damaged; it is fetched again when it is asked for", 1)


@mirror.command("evict")
@click.argument("package", required=False)
@click.option("--path", help="One file, as `mirror show` names it.")
@click.option("--quota", type=click.IntRange(min=0), metavar="BYTES", help="What does not fit.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
@click.pass_obj
def mirror_evict(
    options: Options,
    package: str | None,
    path: str | None,
    quota: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Forget kept copies: of a PACKAGE, one file, or the longest unused. Own packages stay."""
    if sum(each is not None for each in (package, path, quota)) != 1:
        raise Failed("say what: a PACKAGE, --path, or --quota", 2)
    body = {"package": package, "path": path, "quota": quota, "dry_run": dry_run}
    value = options.ask("POST", "/mirror/evict", body=body)
    rows = [(row["path"], size_text(row["size"]), row["used_at"][:16]) for row in value]
    size = size_text(sum(row["size"] for row in value))
    verb = "would go" if dry_run else "went"
    show(
        value,
        as_json,
        table(rows, ("FILE", "SIZE", "LAST USED")) + f"\n\n{len(rows)} files, {size} {verb}",
    )
