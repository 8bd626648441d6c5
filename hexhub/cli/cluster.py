"""Commands about the cluster this node is part of."""

from __future__ import annotations

import time
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
    if value.get("removed"):
        words += "it was taken out of its cluster, and takes no writes: it must join anew\n"
    if value.get("waits_for"):
        words += f"it waits for {value['waits_for']}\n"
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
    _wait_until_counted(options)
    show(value, as_json, f"joined {value['joined']}")


def _wait_until_counted(options: Options) -> None:
    """The node opens again with the cluster's data, and is then counted as a member."""
    deadline = time.monotonic() + JOIN_S
    waits_for = "the other members"
    while time.monotonic() < deadline:
        try:
            value = _state(options)
        except Failed:  # between two lives
            value = {"role": "joining", "members": [], "quorum": False}
        if value["quorum"] and value["role"] != "joining" and len(value["members"]) > 1:
            return
        waits_for = value.get("waits_for") or waits_for
        time.sleep(0.1)
    raise Failed(
        f"the data is here, but this node is not counted yet; it waits for: {waits_for}", 6
    )


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
    # Alone there is nobody to hand over to.
    leader = [value["leader"]] if value["leader"] else []
    steps = [
        {
            "member": name,
            "transfer_first": name in leader and bool(names),
            "steps": _steps(name, leads=name in leader and bool(names)),
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


@cluster.command("recover")
@click.option("--discard-others", is_flag=True, required=True, help="They are gone for good.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@as_json
@click.pass_obj
def recover(options: Options, discard_others: bool, names: tuple[str, ...], as_json: bool) -> None:
    """Make this stopped node's data a cluster of its own, when a majority is gone for good.

    NAME...: every other member. Writes that were acknowledged only by them are lost.
    """
    from cluster import ClusterError, members_on_disk, recover as keep

    directory, me = options.config.data_dir / "cluster", options.config.node_name
    if not directory.is_dir():
        raise Failed(f"{directory} does not exist: set DATA_DIR or NODE_NAME", 3)
    try:
        others = sorted(set(members_on_disk(directory)) - {me})
        if sorted(set(names)) != others:
            listed = " ".join(others) or "none"
            raise Failed(f"name each other member, and nobody else; by this disk: {listed}", 5)
        index, term = keep(directory, name=me)
    except ClusterError as error:
        raise Failed(str(error), 5) from None
    show(
        {"index": index, "term": term, "discarded": others},
        as_json,
        f"kept everything up to index {index}, term {term}. Writes that only "
        f"{', '.join(others)} acknowledged are gone. Start this node, and have fresh ones join.",
    )


COMMANDS = (cluster,)
