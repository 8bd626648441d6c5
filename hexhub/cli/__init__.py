"""The command line: `hexhub`. Commands talk to the running node over the socket in its DATA_DIR.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 refused by a rule,
6 no node answers, 7 not as it was written, 10 done in part, 130 interrupted.
"""

from __future__ import annotations

import sys

import click

from hexhub.cli import node
from hexhub.cli.commands import Commands
from hexhub.errors import Refused


@click.group(
    commands=Commands(), context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__
)
@click.option("--data-dir", metavar="DIR", help="The data directory of the node to talk to.")
@click.option("--config", "config_file", metavar="FILE", help="A TOML file with settings.")
@click.pass_context
def hexhub(context: click.Context, data_dir: str | None, config_file: str | None) -> None:
    context.obj = node.Options(data_dir, config_file)


def main() -> None:
    """Run the command and exit with its code."""
    try:
        hexhub.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except node.Failed as error:
        _fail(str(error), error.exit_code)
    except Refused as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(text: str, code: int) -> None:
    print(f"hexhub: {text}", file=sys.stderr)
    sys.exit(code)
