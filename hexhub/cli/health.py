"""Ask a node how it is by HTTP, as a container's health check does."""

from __future__ import annotations

import http.client
import json
import ssl

import click

from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.config import Config

TIMEOUT_S = 4.0
PATHS = {"all": "/health", "live": "/health/live", "read": "/health/read", "ready": "/health/ready"}


def ask(config: Config, path: str) -> tuple[int, bytes]:
    """Status and body of a GET at this machine's node. Raises Failed when none answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    connection: http.client.HTTPConnection
    if config.tls_cert is not None:
        # It is this machine's own node: its certificate names the public host, not the loopback.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(
            host, config.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, config.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"no node answers on {host}, port {config.port}: {error}", 6) from None
    finally:
        connection.close()


@click.command()
@click.argument("part", type=click.Choice(sorted(PATHS)), default="all")
@as_json
@click.pass_obj
def health(options: Options, part: str, as_json: bool) -> None:
    """Ask the node on this machine how it is; exit code 6 when it is not well."""
    status, body = ask(options.config, PATHS[part])
    value = json.loads(body) if body else {}
    show(value, as_json, str(value.get("status", status)))
    if status != 200:
        raise Failed(f"{PATHS[part]} answers {status}", 6)


COMMANDS = (health,)
