"""Says at the end of the output how members were cut off from one another."""

from __future__ import annotations

import pytest

from tests.cluster.chaos.nets import may_make_namespaces


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    way = "network namespaces" if may_make_namespaces() else "a fault proxy on the loopback"
    terminalreporter.write_line(f"members were cut off from one another by {way}")
