"""What the output of every run says at its end."""

from __future__ import annotations

import pytest

from tests.cluster.chaos.nets import may_make_namespaces


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How members are cut off from one another, which depends on where the tests run."""
    way = "network namespaces" if may_make_namespaces() else "a fault proxy on the loopback"
    terminalreporter.write_line(f"members of a cluster are cut off from one another by {way}")
