"""Every line of the log is one object, libraries' too; a traceback shows no variable of a frame."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging
from hexhub import logs, tracing

log = logs.configure(FORMAT, "info")

def check(password):
    raise ValueError("wrong password")

with tracing.request("c0ffee-c0ffee-c0ffee-c0ffee", {}):
    try:
        check("canary-in-a-variable")
    except ValueError:
        log.exception("request failed")
    logging.getLogger("cluster.node").warning("a member went away: %s", "hub2")
log.info("work of our own")
"""


def said(format: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("FORMAT", repr(format))],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_lines_are_objects_that_name_their_request() -> None:
    failed, library, own = [json.loads(line) for line in said("json").splitlines()]
    assert failed["request_id"] == library["request_id"] == "c0ffee-c0ffee-c0ffee-c0ffee"
    assert failed["exception"][0]["exc_type"] == "ValueError"
    assert (library["event"], library["level"]) == ("a member went away: hub2", "warning")
    assert library["logger"] == "cluster.node"
    assert "request_id" not in own


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_a_traceback_shows_where_and_no_variable(format: str) -> None:
    text = said(format)
    assert "check" in text
    assert "wrong password" in text
    assert "canary" not in text
