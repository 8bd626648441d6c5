"""Commands about the cluster this node is part of."""

from __future__ import annotations

from typing import Any

import click

from hexhub import control_socket
from hexhub.cli.node import Failed, Options, as_json, segment, show, table

JOIN_S = 300.0
"""A node that joins first copies what the cluster holds."""


@click.group("cluster")
def cluster() -> None:
    """The nodes that hold the same tables."""


@cluster.command("status")
@as_json
@click.pass_obj
def status(options: Options, as_json: bool) -> None:
    """The members as this node sees them. Exit code 6 when it would not take a write."""
    value = _state(options)
    rows = [
        (
            member["name"],
            member["role"],
            "yes" if member["reachable"] else "no",
            str(member["applied"]),
            str(member["lag"]),
        )
        for member in value["members"]
    ]
    words = (
        f"{value['node']} is {value['role']} in term {value['term']}, applied {value['applied']}; "
        f"{'a' if value['quorum'] else 'no'} quorum, leader {value['leader'] or 'unknown'}; "
        f"{value['blobs_behind']} objects to fetch\n"
    )
    show(value, as_json, words + table(rows, ("MEMBER", "ROLE", "REACHABLE", "APPLIED", "LAG")))
    if not value["quorum"]:
        raise click.exceptions.Exit(6)


def _state(options: Options) -> dict[str, Any]:
    """The state, which comes with 503 while there is no quorum."""
    try:
        _, value = control_socket.ask(options.node_dir, "GET", "/cluster")
    except OSError:
        value = options.ask("GET", "/cluster")  # says what to do
    if not isinstance(value, dict) or "members" not in value:
        raise Failed("the node does not tell its state", 6)
    return value


@cluster.command("join")
@click.argument("target", metavar="NAME@HOST[:CLUSTER_PORT]")
@click.option("--force", is_flag=True, help="Join although this node holds data of its own.")
@click.option("--discard", metavar="NODE_NAME", help="This node's name: its own data will be gone.")
@as_json
@click.pass_obj
def join(options: Options, target: str, force: bool, discard: str | None, as_json: bool) -> None:
    """Have this node join the cluster of another, giving up its own cluster of one."""
    if force != (discard is not None):
        raise click.UsageError("--force and --discard NODE_NAME go together")
    body = {"target": target, "discard": discard}
    value = options.ask("POST", "/cluster/join", body=body, timeout_s=JOIN_S)
    show(value, as_json, f"joined {value['joined']}")


@cluster.command("leave")
@as_json
@click.pass_obj
def leave(options: Options, as_json: bool) -> None:
    """Have this node leave its cluster."""
    value = options.ask("POST", "/cluster/leave", timeout_s=JOIN_S)
    show(value, as_json, f"{value['left']} has left")


@cluster.command("remove")
@click.argument("name")
@as_json
@click.pass_obj
def remove(options: Options, name: str, as_json: bool) -> None:
    """Take a member out that is dead and will not come back."""
    value = options.ask("POST", f"/cluster/members/{segment(name)}/remove", timeout_s=JOIN_S)
    show(value, as_json, f"{name} is no member any more")


@cluster.command("transfer")
@click.argument("name", required=False)
@as_json
@click.pass_obj
def transfer(options: Options, name: str | None, as_json: bool) -> None:
    """Let another member lead: NAME, or whoever is furthest."""
    value = options.ask("POST", "/cluster/transfer", body={"to": name})
    show(value, as_json, f"{value['leader']} leads")


@cluster.command("snapshot")
@as_json
@click.pass_obj
def snapshot(options: Options, as_json: bool) -> None:
    """Write a snapshot of this node's tables now, and cut its log behind it."""
    value = options.ask("POST", "/cluster/snapshot", timeout_s=JOIN_S)
    show(value, as_json, f"written to {value['folder']}")


@cluster.command("restart-plan")
@as_json
@click.pass_obj
def restart_plan(options: Options, as_json: bool) -> None:
    """In which order to restart the members, and what to wait for, without a failed request."""
    value = _state(options)
    names = [m["name"] for m in value["members"] if m["name"] != value["leader"]]
    leader = [value["leader"]] if value["leader"] else []
    steps = [
        {
            "member": name,
            "transfer_first": name in leader,
            "steps": _steps(name, leads=name in leader),
        }
        for name in [*names, *leader]
    ]
    lines = [
        f"{n}. {step['member']}: " + "; ".join(step["steps"]) for n, step in enumerate(steps, 1)
    ]
    unhealthy = [m["name"] for m in value["members"] if not m["reachable"]]
    if unhealthy:
        lines.insert(0, f"Not now: {', '.join(unhealthy)} cannot be reached.")
    show({"ready": not unhealthy, "plan": steps}, as_json, "\n".join(lines))
    if unhealthy:
        raise click.exceptions.Exit(6)


def _steps(name: str, *, leads: bool) -> list[str]:
    moved = ["hexhub cluster transfer, there"] if leads else []
    return [
        *moved,
        "take it out of the load balancer, or let its health checks do so",
        "stop it with SIGTERM: it finishes its requests",
        "start it",
        f"wait until hexhub cluster status shows {name} reachable with lag 0",
    ]


COMMANDS = (cluster,)
