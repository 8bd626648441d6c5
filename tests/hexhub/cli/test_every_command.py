"""Rules that hold for every command: a help with exit codes, `--json`, completion, a place in `man`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator

import click
import pytest
import pytest_asyncio
from click.shell_completion import ShellComplete, get_completion_class

from hexhub.cli import hexhub
from hexhub.cli.manual import manual
from tests.hexhub.cli.commands import Node, operated, run

OTHER_FORMATS = {
    "audit export": "JSON already",
    "completion": "a script of a shell",
    "config reference": "Markdown",
    "doctor client": "a script",
    "gen-config caddy": "a file of another program",
    "gen-config compose": "a file of another program",
    "gen-config haproxy": "a file of another program",
    "gen-config nginx": "a file of another program",
    "gen-config systemd": "a file of another program",
    "man": "roff",
}
LOOKING = {"list", "status", "show", "stats", "check", "version", "routes", "public-key", "doctor"}
"""Last words of commands that change nothing."""


def leaves(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word in command.commands:
            yield from leaves(command.commands[word], (*words, word))
        if not command.invoke_without_command:
            return
    yield " ".join(words), command


ALL = dict(leaves(hexhub, ()))


def takes_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def test_every_command_that_prints_data_prints_json_when_asked() -> None:
    assert {words for words, command in ALL.items() if not takes_json(command)} == set(
        OTHER_FORMATS
    )


@pytest.mark.parametrize("words", sorted(ALL))
def test_every_command_says_what_it_does_and_how_it_ends(words: str) -> None:
    output = run(*words.split(), "--help", environ={})
    assert output.code == 0
    assert "xit code" in output.out
    assert (ALL[words].help or "").strip().partition("\n")[0].endswith((".", "?", ":"))
    for parameter in ALL[words].params:
        if isinstance(parameter, click.Option) and parameter.required:
            assert parameter.help, f"{words} {parameter.opts}"


def test_the_manual_has_every_command_and_every_code() -> None:
    page = manual(hexhub).replace("\\-", "-")
    for words in ALL:
        assert f".SS hexhub {words}" in page
    assert ".SH EXIT STATUS" in page
    for code in ("0 done", "5 refused by a rule", "6 no node answers", "10 done in part"):
        assert code in page


def completed(words: list[str], incomplete: str) -> set[str]:
    shell = ShellComplete(hexhub, {}, "hexhub", "_HEXHUB_COMPLETE")
    return {item.value for item in shell.get_completions(words, incomplete)}


def test_every_word_and_option_is_completed() -> None:
    for words, command in ALL.items():
        *before, last = words.split()
        assert last in completed(before, last[:1]), words
        options = {
            each
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.hidden
            for each in parameter.opts
            if each.startswith("--")
        }
        assert options <= completed(words.split(), "--"), words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_one_that_it_reads(shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None
    output = run("completion", shell, environ={})
    assert output.code == 0
    assert f"{shell}_complete" in output.out
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=output.out, text=True, check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with operated(tmp_path_factory.mktemp("node")) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_printed_for_programs_is_json(node: Node) -> None:
    tried = 0
    for words, command in ALL.items():
        bare = not any(parameter.required for parameter in command.params)
        if words.split()[-1] not in LOOKING or not bare or not takes_json(command):
            continue
        output = await node(*words.split(), "--json")
        if output.code not in (0, 1):  # 1: the doctor finds no node behind the hub's port
            continue
        json.loads(output.out)
        tried += 1
    assert tried >= 12
