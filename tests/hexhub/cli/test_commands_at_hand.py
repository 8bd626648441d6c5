"""Every word of the command line is found where it lives, and without what it does not need."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import hexhub.cli
from hexhub.cli import hexhub as root


def test_every_command_that_a_module_declares_has_a_word() -> None:
    modules = [
        import_module(f"hexhub.cli.{each.name}") for each in iter_modules(hexhub.cli.__path__)
    ]
    declared = {command for each in modules for command in getattr(each, "COMMANDS", ())}
    assert declared == set(root.commands.values())


def test_a_command_that_asks_a_node_does_not_import_one() -> None:
    seen = "import sys; print('aiohttp' in sys.modules, 'hexhub.cli.rules' in sys.modules)"
    asked = "from hexhub.cli import hexhub; hexhub.commands['rules']; " + seen
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
