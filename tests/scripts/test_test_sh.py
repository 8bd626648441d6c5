"""test.sh: the tools of the tests beside the node's own libraries, and pytest's own answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    copy = Checkout(tmp_path)
    copy.put_on_path("python3.11")
    for program in ("rebar3", "chromium", "nginx", "haproxy", "caddy", "faketime"):
        copy.put_on_path(program)
    for program in ("curl", "groff", "systemd-analyze"):
        copy.put_on_path(program)
    return copy


def test_arguments_go_to_pytest_and_its_exit_code_comes_back(checkout: Checkout) -> None:
    code, output, _ = checkout.run("test.sh", "-k", "a or b", "tests/x", PYTEST_EXIT="5")
    assert (code, output) == (5, "pytest ran:-m pytest -n 2 --dist loadfile -k a or b tests/x\n")


def test_the_long_run_takes_every_marker(checkout: Checkout) -> None:
    _, output, _ = checkout.run("test.sh", "--long", "-x")
    assert output == "pytest ran:-m pytest -n 2 --dist loadfile -m long or not long -x\n"


def test_the_tools_of_the_tests_are_installed_once_and_serve_a_node_too(checkout: Checkout) -> None:
    for _ in range(2):
        assert checkout.run("test.sh")[0] == 0
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    assert checkout.pip_calls() == ["-m pip install -e .[dev]"]


def test_a_node_s_libraries_are_not_enough_for_the_tests(checkout: Checkout) -> None:
    checkout.run("cluster.sh", "start", FAKE_FAILS="1")
    checkout.run("test.sh")
    assert checkout.pip_calls() == ["-m pip install -e .", "-m pip install -e .[dev]"]


def test_a_missing_client_that_cannot_be_installed_does_not_stop_the_tests(
    checkout: Checkout,
) -> None:
    (checkout.bin / "rebar3").unlink()
    code, output, errors = checkout.run("test.sh")
    assert (code, output) == (0, "pytest ran:-m pytest -n 2 --dist loadfile\n")
    assert "need rebar3 (Debian, Ubuntu: apt install rebar3)" in errors
