"""Nodes of a checkout: announced while their process lives, and not a moment longer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hexhub.config import find_checkout
from hexhub.running import Running, announce, nodes, watch

NODE = Running(
    name="hex_hub1", pid=1, host="127.0.0.1", port=4000, url="http://localhost:4000", data_dir="/d"
)

# Announces itself, says so, and withdraws when its standard input ends.
PROCESS = """
import os, sys
from pathlib import Path
from hexhub.running import Running, announce
node = Running(sys.argv[2], os.getpid(), "127.0.0.1", 4000, "http://localhost:4000", "/d")
announcement = announce(Path(sys.argv[1]), node)
print("announced", flush=True)
sys.stdin.read()
announcement.withdraw()
"""


@contextmanager
def node_process(checkout: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(checkout), name],
        cwd=find_checkout(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "announced\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_nothing_runs_from_a_fresh_checkout(tmp_path: Path) -> None:
    assert nodes(tmp_path) == []


def test_nodes_are_listed_by_name_while_they_live(tmp_path: Path) -> None:
    with node_process(tmp_path, "b") as b, node_process(tmp_path, "a") as a:
        assert [(node.name, node.pid) for node in nodes(tmp_path)] == [("a", a.pid), ("b", b.pid)]
        b.communicate()
        assert [node.name for node in nodes(tmp_path)] == ["a"]
        assert not (tmp_path / "data" / "run" / "b.json").exists()


def test_a_killed_node_is_no_longer_listed_and_its_name_is_free(tmp_path: Path) -> None:
    with node_process(tmp_path, "a") as process:
        process.kill()
        process.wait()
        assert (tmp_path / "data" / "run" / "a.json").exists()
        assert nodes(tmp_path) == []
    with node_process(tmp_path, "a") as process:
        assert [node.pid for node in nodes(tmp_path)] == [process.pid]


def test_a_file_that_no_process_holds_is_no_node(tmp_path: Path) -> None:
    run = tmp_path / "data" / "run"
    run.mkdir(parents=True)
    (run / "a.json").write_text(json.dumps({"pid": 1}))
    assert nodes(tmp_path) == []


def test_nodes_of_one_name_with_data_of_their_own_are_all_listed(tmp_path: Path) -> None:
    with node_process(tmp_path, "a") as one, node_process(tmp_path, "a") as two:
        assert {node.pid for node in nodes(tmp_path)} == {one.pid, two.pid}
        one.communicate()
        assert [node.pid for node in nodes(tmp_path)] == [two.pid]
        with node_process(tmp_path, "a") as three:
            assert {node.pid for node in nodes(tmp_path)} == {two.pid, three.pid}


def test_the_end_of_a_watched_node_is_the_end_of_its_process(tmp_path: Path) -> None:
    with node_process(tmp_path, "a") as process, node_process(tmp_path, "b"):
        (node, _) = nodes(tmp_path)
        seen = watch(tmp_path, node)
        assert seen is not None
        with seen:
            assert seen.running == node
            assert not seen.ended()
            (tmp_path / "data" / "run" / "a.json").unlink()
            assert not seen.ended()
            process.communicate()
            assert seen.ended()
        assert watch(tmp_path, node) is None


def test_a_checkout_that_cannot_be_written_is_no_reason_not_to_run(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    assert announce(tmp_path, NODE) is None
