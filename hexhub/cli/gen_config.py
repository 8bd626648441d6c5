"""Files for what runs beside a node: proxies, systemd, containers, from the settings that hold."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from hexhub.cli.node import Options
from hexhub.config import Config

TLS = "/etc/hexhub/tls"


def _template(name: str) -> str:
    return (files("hexhub.cli") / "generated" / f"{name}.txt").read_text("utf-8")


def _filled(template: str, **values: str) -> str:
    return Template(_template(template)).substitute(values)


def addresses(config: Config, given: Sequence[str]) -> list[str]:
    """`host:port` of each node: as given, else the hosts of CLUSTER_NODES, else this machine."""
    if given:
        return [each if ":" in each else f"{each}:{config.port}" for each in given]
    hosts = [member.partition("@")[2].rpartition(":") for member in config.cluster_nodes]
    named = [f"{host or rest}:{config.port}" for host, _, rest in hosts]
    return named or [f"127.0.0.1:{config.port}"]


@click.group("gen-config")
def gen_config() -> None:
    """Print a file for a proxy, systemd or Docker Compose."""


nodes = click.option(
    "--node", "given", multiple=True, metavar="HOST[:PORT]", help="A node; may be repeated."
)


def _host(config: Config) -> str:
    return config.url.partition("://")[2].partition(":")[0]


@gen_config.command("nginx")
@nodes
@click.pass_obj
def nginx(options: Options, given: tuple[str, ...]) -> None:
    """A server block; include it from the http block."""
    config = options.config
    servers = "\n".join(f"    server {each} max_fails=0;" for each in addresses(config, given))
    name = _host(config)
    text = _filled(
        "nginx",
        servers=servers,
        name=name,
        certificate=f"{TLS}/{name}.pem",
        key=f"{TLS}/{name}.key",
    )
    click.echo(text, nl=False)


@gen_config.command("caddy")
@nodes
@click.pass_obj
def caddy(options: Options, given: tuple[str, ...]) -> None:
    """A Caddyfile; Caddy gets the certificate."""
    config = options.config
    servers = " ".join(addresses(config, given))
    click.echo(_filled("caddy", name=_host(config), servers=servers), nl=False)


@gen_config.command("haproxy")
@nodes
@click.pass_obj
def haproxy(options: Options, given: tuple[str, ...]) -> None:
    """A whole haproxy.cfg with active checks: reads and writes have backends of their own."""
    config = options.config
    servers = "\n".join(
        f"    server node{number} {each}"
        for number, each in enumerate(addresses(config, given), start=1)
    )
    certificate = f"{TLS}/{_host(config)}.pem"
    click.echo(_filled("haproxy", servers=servers, certificate=certificate), nl=False)


@gen_config.command("systemd")
def systemd() -> None:
    """A unit with a user and a state directory of its own."""
    beside = Path(sys.executable).with_name("hexhub")
    command = str(beside) if beside.exists() else shutil.which("hexhub") or "/opt/hexhub/bin/hexhub"
    click.echo(_filled("systemd", command=command), nl=False)


@gen_config.command("compose")
def compose() -> None:
    """A docker-compose.yml: one node, and a profile of three behind HAProxy."""
    click.echo(_template("compose"), nl=False)


COMMANDS = (gen_config,)
