"""cluster.sh: installing once, clear refusals, and nodes that start, show and stop."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.scripts.checkout import Checkout

OLD = "#!/bin/bash\nexit 1\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    copy = Checkout(tmp_path)
    copy.put_on_path("python3.11")
    yield copy
    if list(copy.root.glob("data/run/*.json")):
        copy.run("cluster.sh", "stop", "--all")


def test_without_a_python_of_3_11_the_start_says_so(checkout: Checkout) -> None:
    checkout.put_on_path("python3.11", OLD)
    checkout.put_on_path("python3", OLD)
    code, output, errors = checkout.run("cluster.sh", "start")
    assert (code, output) == (1, "")
    assert errors.startswith("error: HexHub needs Python 3.11 or newer, and none was found")
    assert len(errors.splitlines()) == 1


def test_a_name_on_path_that_runs_nothing_is_passed_over(checkout: Checkout) -> None:
    checkout.put_on_path("python3.11", OLD)
    checkout.put_on_path("python3")
    assert checkout.run("cluster.sh", "start", "--detach")[0] == 0


def test_without_a_venv_module_the_start_says_so(checkout: Checkout) -> None:
    code, _, errors = checkout.run("cluster.sh", "start", NO_VENV="1")
    assert code == 1
    assert errors.startswith(f"error: {checkout.bin}/python3.11 has no venv module: install it")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "WARNING: Retrying (…) after connection broken by 'NewConnectionError(…)': /x",
            "error: the package index cannot be reached: ",
        ),
        (
            "ERROR: No matching distribution found for x",
            "error: installing failed: ERROR: No matching distribution found for x; details in ",
        ),
    ],
)
def test_a_failed_installation_is_one_clear_line_and_tried_again(
    checkout: Checkout, said: str, words: str
) -> None:
    for _ in range(2):
        code, _, errors = checkout.run("cluster.sh", "start", PIP_SAYS=said)
        assert code == 1
        assert errors.splitlines()[-1].startswith(words)
    assert len(checkout.pip_calls()) == 2


def test_only_the_first_start_installs(checkout: Checkout) -> None:
    for _ in range(2):
        assert checkout.run("cluster.sh", "start", FAKE_FAILS="1")[0] == 1
    assert checkout.pip_calls() == ["-m pip install -e ."]


def test_a_changed_pyproject_installs_again(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    assert len(checkout.pip_calls()) == 2


def test_a_moved_checkout_installs_again(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    assert len(checkout.pip_calls()) == 2


def test_two_first_starts_at_once_install_once(checkout: Checkout) -> None:
    starts = [checkout.start("cluster.sh", "start", FAKE_FAILS="1") for _ in range(2)]
    errors = [start.communicate(timeout=60)[1] for start in starts]
    assert len(checkout.pip_calls()) == 1
    assert all("the data do not fit the secret" in text for text in errors)


def test_nothing_runs_from_a_fresh_checkout(checkout: Checkout) -> None:
    assert checkout.run("cluster.sh", "status") == (3, "no node runs from this checkout\n", "")
    assert checkout.run("cluster.sh", "status", "--json") == (3, "[]\n", "")
    assert checkout.run("cluster.sh", "stop") == (0, "hex_hub1 is not running\n", "")
    assert checkout.run("cluster.sh", "stop", NODE_NAME="b")[1] == "b is not running\n"
    assert checkout.run("cluster.sh", "stop", "--all")[1] == "no node runs from this checkout\n"
    assert checkout.pip_calls() == []


def test_a_detached_node_starts_shows_and_stops(checkout: Checkout) -> None:
    code, output, _ = checkout.run("cluster.sh", "start", "--detach")
    data = checkout.root / "data" / "hex_hub1"
    assert code == 0
    pid = int((data / "hexhub.pid").read_text())
    url = f"http://localhost:{checkout.environ['PORT']}"
    assert output.splitlines() == [
        "HexHub greets",
        "First administrator: http://link",
        f"hex_hub1 runs at {url} (pid {pid}, log {data}/hexhub.log)",
    ]
    assert "http://link" not in (data / "hexhub.log").read_text()

    code, output, _ = checkout.run("cluster.sh", "status", "--json")
    (shown,) = json.loads(output)
    assert code == 0
    assert (shown["name"], shown["pid"], shown["url"]) == ("hex_hub1", pid, url)
    assert (shown["health"], shown["data_dir"]) == ("healthy", str(data))

    assert checkout.run("cluster.sh", "start", "--detach")[0] == 0  # it runs: nothing to do
    code, _, errors = checkout.run("cluster.sh", "start", "--detach", PORT=str(free_port()))
    assert code == 1
    assert "already runs" in errors

    assert checkout.run("cluster.sh", "stop") == (0, "hex_hub1 stopped\n", "")
    assert "stopped by SIGTERM" in (data / "hexhub.log").read_text()
    assert not (data / "hexhub.pid").exists()
    assert checkout.run("cluster.sh", "status")[0] == 3


def test_names_and_data_directories_of_the_environment_hold(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", "--detach", NODE_NAME="a", DATA_DIR="my/a")
    assert (checkout.root / "my" / "a" / "hexhub.log").exists()
    checkout.run("cluster.sh", "start", "--detach", HEXHUB_NODE_NAME="b", PORT=str(free_port()))
    code, output, _ = checkout.run("cluster.sh", "status")
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()] == [
        ["a", "healthy"],
        ["b", "healthy"],
    ]
    assert checkout.run("cluster.sh", "stop")[1] == "hex_hub1 is not running\n"
    assert checkout.run("cluster.sh", "stop", "--all")[1] == "a stopped\nb stopped\n"


def test_of_nodes_with_one_name_the_data_directory_tells_which_to_stop(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", "--detach", DATA_DIR="one")
    assert checkout.run("cluster.sh", "start", "--detach", PORT=str(free_port()))[0] == 0
    code, _, errors = checkout.run("cluster.sh", "stop", DATA_DIR="two")
    assert code == 1
    assert errors.startswith("error: several nodes are called hex_hub1: set DATA_DIR (")
    assert checkout.run("cluster.sh", "stop")[1] == "hex_hub1 stopped\n"
    (left,) = json.loads(checkout.run("cluster.sh", "status", "--json")[1])
    assert left["data_dir"] == str(checkout.root / "one")
    assert checkout.run("cluster.sh", "stop")[1] == "hex_hub1 stopped\n"  # the only one


def test_a_node_that_is_not_ready_is_not_healthy(checkout: Checkout) -> None:
    assert checkout.run("cluster.sh", "start", "--detach", FAKE_SICK="1")[0] == 0
    code, output, _ = checkout.run("cluster.sh", "status")
    assert code == 1
    assert "not ready" in output


def test_a_node_that_ends_at_once_shows_why(checkout: Checkout) -> None:
    code, output, errors = checkout.run("cluster.sh", "start", "--detach", FAKE_FAILS="1")
    assert (code, output) == (1, "")
    assert errors.splitlines()[-2] == "the data do not fit the secret"
    assert errors.splitlines()[-1].startswith("error: hex_hub1 ended with exit code 1; its log is ")


def test_a_killed_node_does_not_count_and_can_be_started_again(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", "--detach")
    pid = int((checkout.root / "data" / "hex_hub1" / "hexhub.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert checkout.run("cluster.sh", "start", "--detach")[0] == 0


def test_a_bad_setting_is_one_line(checkout: Checkout) -> None:
    code, _, errors = checkout.run("cluster.sh", "stop", HEXHUB_NODE_NMAE="x")
    assert code == 1
    assert errors == ("error: HEXHUB_NODE_NMAE is not a setting (did you mean HEXHUB_NODE_NAME?)\n")


def test_signals_reach_a_node_in_the_foreground(checkout: Checkout) -> None:
    with checkout.start("cluster.sh", "start") as node:
        assert node.stdout is not None
        assert node.stdout.readline() == "HexHub greets\n"
        while not (checkout.root / "data" / "run" / "hex_hub1.json").exists():
            assert node.poll() is None
        node.send_signal(signal.SIGTERM)
        assert "stopped by SIGTERM" in node.communicate(timeout=60)[0]
        assert node.returncode == 0


def _asked(checkout: Checkout, name: str) -> list[tuple[str, dict[str, object]]]:
    """What the stand-in of that name was told over its socket."""
    file = checkout.root / "data" / name / "asked"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(path, json.loads(body)) for path, body in (line.split(" ", 1) for line in lines)]


def _start(checkout: Checkout, name: str, **environ: str) -> None:
    port = str(free_port())
    code, _, errors = checkout.run(
        "cluster.sh", "start", "--detach", NODE_NAME=name, PORT=port, **environ
    )
    assert code == 0, errors


@pytest.fixture
def bare(checkout: Checkout) -> Checkout:
    """Neither PORT nor NODE_NAME given."""
    del checkout.environ["PORT"]
    return checkout


def test_join_without_a_name_asks_every_node_that_is_not_yet_a_member(bare: Checkout) -> None:
    _start(bare, "a", FAKE_MEMBERS="a d")
    _start(bare, "b", FAKE_MEMBERS="b")
    _start(bare, "c", FAKE_MEMBERS="c")
    _start(bare, "d", FAKE_MEMBERS="a d")
    code, output, errors = bare.run("cluster.sh", "join", "a@127.0.0.1:5000")
    assert (code, errors) == (0, "")
    assert output.splitlines() == ["b joined a", "c joined a", "d is a member of the cluster of a"]
    told = ("/cluster/join", {"target": "a@127.0.0.1:5000", "discard": None})
    assert (_asked(bare, "a"), _asked(bare, "d")) == ([], [])
    assert _asked(bare, "b") == _asked(bare, "c") == [told]


@pytest.mark.parametrize("by", ["NODE_NAME", "PORT"])
def test_join_with_a_name_or_a_port_asks_that_node(bare: Checkout, by: str) -> None:
    _start(bare, "b")
    _start(bare, "c")
    (_, port), _ = (
        (node["name"], node["port"])
        for node in json.loads(bare.run("cluster.sh", "status", "--json")[1])
    )
    given = {"NODE_NAME": "b", "PORT": str(port)}
    code, output, _ = bare.run("cluster.sh", "join", "a@10.0.0.1", **{by: given[by]})
    assert (code, output) == (0, "b joined a\n")
    assert _asked(bare, "c") == []


def test_a_refused_join_says_why_and_force_names_what_is_discarded(bare: Checkout) -> None:
    _start(bare, "b", FAKE_REFUSES="1")
    assert bare.run("cluster.sh", "join", "a@h") == (1, "", "error: b: it is not blank\n")
    bare.run("cluster.sh", "join", "a@h", "--force", "--discard", "b")
    assert _asked(bare, "b")[1] == ("/cluster/join", {"target": "a@h", "discard": "b"})


def test_leave_asks_the_one_that_is_meant(bare: Checkout) -> None:
    assert bare.run("cluster.sh", "leave")[0] == 1
    _start(bare, "b")
    assert bare.run("cluster.sh", "leave") == (0, "b left its cluster\n", "")
    _start(bare, "c")
    code, _, errors = bare.run("cluster.sh", "leave")
    assert (code, errors) == (2, "error: several nodes run here: say which by NODE_NAME\n")
    assert bare.run("cluster.sh", "leave", NODE_NAME="c")[:2] == (0, "c left its cluster\n")
    assert [path for path, _ in _asked(bare, "b")] == ["/cluster/leave"]


def test_status_shows_each_nodes_part_in_its_cluster(bare: Checkout) -> None:
    _start(bare, "b", FAKE_MEMBERS="a b c")
    assert "follower of 3 members" in bare.run("cluster.sh", "status")[1]
    (shown,) = json.loads(bare.run("cluster.sh", "status", "--json")[1])
    assert (shown["node"], shown["health"], len(shown["members"])) == ("b", "healthy", 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["start", "--fast"],
        ["stop", "-9"],
        ["status", "--json", "x"],
        ["join"],
        ["join", "a@h", "--force"],
        ["join", "a@h", "--discard", "b", "--force"],
        ["join", "a@h", "b@h"],
        ["leave", "now"],
    ],
)
def test_wrong_usage_exits_with_2_and_the_usage(checkout: Checkout, arguments: list[str]) -> None:
    code, output, errors = checkout.run("cluster.sh", *arguments)
    assert (code, output) == (2, "")
    assert "usage: ./scripts/cluster.sh" in errors


def test_help_lists_the_commands(checkout: Checkout) -> None:
    code, output, _ = checkout.run("cluster.sh", "help")
    assert code == 0
    assert checkout.run("cluster.sh") == (0, output, "")
    for command in ("start --detach", "stop --all", "join NAME@HOST", "status [--json]"):
        assert command in output
