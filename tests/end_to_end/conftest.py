"""A node for each test module; a module overrides `settings` to start it with others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.node import RunningNode


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Settings of the module's node beyond those that `RunningNode` gives every node."""
    return {}


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]
) -> Iterator[RunningNode]:
    """A running node, which must end cleanly and must not have met an unexpected exception."""
    running = RunningNode(tmp_path_factory.mktemp("node"), settings)
    try:
        yield running
    finally:
        code = running.stop()
    log = running.log_text()
    assert code == 0, f"the node ended with {code}:\n{log[-4000:]}"
    assert "Traceback" not in log, log[-8000:]


@pytest.fixture(scope="module")
def mara(node: RunningNode) -> str:
    """Secret of a key of the user `mara` that may write to the API."""
    node.create_user("mara")
    return node.create_key("mara", "api", name="mara-api")
