"""TLS on the public port: served, renewed without a restart, and never half."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hexhub.errors import Refused
from hexhub.http.tls import Certificates
from tests.end_to_end.node import ROOT, run
from tests.hexhub.http import certificates
from tests.ports import free_ports


def presented(context: ssl.SSLContext, tmp_path: Path) -> bytes:
    """The certificate that a client is shown by this context."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(into, out)
    theirs = context.wrap_bio(out, into, server_side=True)
    for _ in range(5):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = ours.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_new_pair_is_taken_up_and_a_bad_one_is_not(tmp_path: Path) -> None:
    certificate, key = certificates.write(tmp_path, "hub.example.org")
    served = Certificates(certificate, key)
    first = presented(served.context, tmp_path)
    assert not served.look()
    other, other_key = certificates.write(tmp_path, "hub.example.org", "other")
    shutil.copy(other, certificate)
    with pytest.raises(Refused):  # half a renewal
        served.look()
    assert presented(served.context, tmp_path) == first
    assert not served.look()
    shutil.copy(other_key, key)
    assert served.look()
    assert presented(served.context, tmp_path) != first
    certificate.write_text("rubbish")
    with pytest.raises(Refused):
        served.look()


@pytest.mark.parametrize("spoil", ["missing", "rubbish", "other"])
def test_files_that_cannot_serve_are_refused(tmp_path: Path, spoil: str) -> None:
    certificate, key = certificates.write(tmp_path, "hub.example.org")
    if spoil == "missing":
        key.unlink()
    elif spoil == "rubbish":
        key.write_text("rubbish")
    else:
        key = certificates.write(tmp_path, "hub.example.org", "other")[1]
    with pytest.raises(Refused, match="TLS_CERT and TLS_KEY"):
        Certificates(certificate, key)


def test_a_node_speaks_tls_and_nothing_else(tmp_path: Path) -> None:

    certificate, key = certificates.write(tmp_path, "localhost")
    port, cluster_port = free_ports(2)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PORT": str(port),
        "CLUSTER_PORT": str(cluster_port),
        "DATA_DIR": str(tmp_path / "data"),
        "UPSTREAM_ENABLED": "false",
        "TLS_CERT": str(certificate),
        "TLS_KEY": str(key),
    }
    command = [sys.executable, "-m", "hexhub"]
    node = subprocess.Popen(
        [*command, "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while run([*command, "health", "live"], cwd=ROOT, environment=environment).code:
            assert time.monotonic() < deadline
            assert node.poll() is None
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        connection.close()
        fresh, fresh_key = certificates.write(tmp_path, "localhost", "fresh")
        shutil.copy(fresh_key, key)
        shutil.copy(fresh, certificate)
        node.send_signal(signal.SIGHUP)
        wanted = ssl.PEM_cert_to_DER_cert(fresh.read_text())
        while ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port))) != wanted:
            assert time.monotonic() < deadline + 30
            assert node.poll() is None
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" not in plain.recv(100)
    finally:
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
