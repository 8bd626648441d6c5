"""What the doctor finds, each ill made on purpose: wrong clocks, keys, names, certificates, buckets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hexhub.cli import checks_around as around, checks_here as here
from hexhub.cli.checks_here import Finding
from hexhub.cli.node import Options
from hexhub.config import Config, load
from hexhub.formats import signing_key
from hexhub.peer_clocks import PeerClocks
from hexhub.storage import s3
from tests.hexhub.http import certificates
from tests.hexhub.hubs import SIGNING_KEY
from tests.hexhub.storage.several import several
from tests.ports import free_ports

FINGERPRINT = signing_key.fingerprint(signing_key.load_private_key(SIGNING_KEY.read_bytes()))


def settings(folder: Path, **environ: str) -> Config:
    return load({"UPSTREAM_ENABLED": "false"} | environ, checkout=folder)


class Told(Options):
    """A node that says what the test wants."""

    def __init__(self, config: Config, said: dict[str, Any]) -> None:
        super().__init__(None, None)
        self.__dict__["config"] = config
        self._said = said

    def ask(self, method: str, path: str, **more: Any) -> Any:
        return self._said[path]


def only(found: Iterator[Finding], about: str) -> Finding:
    seen = [each for each in found if each.about == about]
    assert len(seen) == 1, seen
    return seen[0]


@contextmanager
def upstream_at(moment: datetime) -> Iterator[str]:
    """A server that thinks it is this moment."""

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", format_datetime(moment, usegmt=True))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("off", "level", "words"),
    [(0, "ok", ""), (3600, "bad", "ahead of ours"), (-7200, "bad", "behind ours")],
)
def test_the_clock_is_compared_with_the_upstreams(
    tmp_path: Path, off: int, level: str, words: str
) -> None:
    with upstream_at(datetime.now(UTC) + timedelta(seconds=off)) as url:  # noqa: TID251
        config = settings(tmp_path, UPSTREAM_ENABLED="true", UPSTREAM_REPO_URL=url)
        found = list(around.upstream(config))
    assert only(iter(found), "upstream").level == "ok"
    clock = only(iter(found), "clock")
    assert (clock.level, words in clock.said) == (level, True)
    assert bool(clock.fix) == (level == "bad")


def test_an_upstream_that_is_away_or_not_to_be_asked_is_no_fault_of_the_node(
    tmp_path: Path,
) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    config = settings(tmp_path, UPSTREAM_ENABLED="true", UPSTREAM_REPO_URL=url)
    away = only(around.upstream(config), "upstream")
    assert (away.level, "OFFLINE=true" in away.fix) == ("note", True)
    offline = settings(tmp_path, UPSTREAM_ENABLED="true", UPSTREAM_REPO_URL=url, OFFLINE="true")
    assert only(around.upstream(offline), "upstream").level == "ok"


async def test_members_tell_how_far_their_clocks_are_off(tmp_path: Path) -> None:
    def clock(ahead_s: float) -> Any:
        return lambda: datetime.now(UTC) + timedelta(seconds=ahead_s)  # noqa: TID251

    async with several(tmp_path, 3) as nodes:
        asking, *_ = [
            PeerClocks(node.streams, node.name, node.members, clock(ahead))
            for node, ahead in zip(nodes, (0, 60, -90), strict=True)
        ]
        seen = await asking.ahead()
        assert {name: round(ahead or 0) for name, ahead in seen.items()} == {"n2": 60, "n3": -90}
        nodes[2].stop_answering()
        assert (await asking.ahead())["n3"] is None


def test_members_are_looked_at_one_by_one(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    def member(name: str, reachable: bool, address: str) -> dict[str, Any]:
        return {
            "name": name,
            "reachable": reachable,
            "address": address,
            "role": "follower",
            "lag": 3,
            "version": "0.1.0",
        }

    said = {
        "/cluster": {
            "node": "hub1",
            "members": [
                member("hub1", True, "127.0.0.1:1"),
                member("hub2", True, "127.0.0.1:2"),
                member("hub3", False, f"127.0.0.1:{port}"),
            ],
        },
        "/cluster/clocks": {"hub2": -45.0, "hub3": None},
    }
    found = list(around.members(Told(settings(tmp_path), said)))
    assert [each.about for each in found] == ["member hub2", "clock", "member hub3"]
    assert found[0].said == "follower, 3 entries behind, version 0.1.0"
    assert (found[1].level, found[1].said) == ("bad", "the clock of hub2 is 45.0 s behind ours")
    assert (found[2].level, "cannot be dialled" in found[2].said) == ("bad", True)


def test_a_key_file_that_others_read_or_that_is_another_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(SIGNING_KEY.read_bytes())
    file.chmod(0o644)
    config = settings(tmp_path, SIGNING_KEY_FILE=str(file))
    open_to_all = only(here.keys(config), "keys")
    assert (open_to_all.level, open_to_all.fix) == ("bad", f"chmod 600 {file}")
    file.chmod(0o600)
    assert only(here.keys(config), "keys").said == f"SIGNING_KEY_FILE is {FINGERPRINT}"
    same = Told(config, {"/public-key": {"fingerprint": FINGERPRINT}})
    assert [each.level for each in around.signing(same)] == ["ok"]
    other = Told(config, {"/public-key": {"fingerprint": "SHA256:other"}})
    assert [each.level for each in around.signing(other)] == ["ok", "bad"]
    file.write_text("no key")
    assert only(here.keys(config), "keys").level == "bad"


def test_a_certificate_for_another_name_is_named(tmp_path: Path) -> None:
    cert, key = certificates.write(tmp_path, "hub.example.com")
    environ = {"TLS_CERT": str(cert), "TLS_KEY": str(key)}
    right = settings(tmp_path, HEXHUB_URL="https://hub.example.com", **environ)
    assert [each.level for each in here.certificate(right)] == ["note"]  # good for a day
    wrong = settings(tmp_path, HEXHUB_URL="https://other.example.com", **environ)
    _, about_name = here.certificate(wrong)
    assert about_name.level == "bad"
    assert about_name.said == "is for hub.example.com, and HEXHUB_URL says other.example.com"
    wild, wild_key = certificates.write(tmp_path, "*.example.com", "wild")
    several_names = settings(
        tmp_path, HEXHUB_URL="https://a.example.com", TLS_CERT=str(wild), TLS_KEY=str(wild_key)
    )
    assert [each.level for each in here.certificate(several_names)] == ["note"]
    swapped = settings(tmp_path, TLS_CERT=str(cert), TLS_KEY=str(wild_key))
    assert [each.level for each in here.certificate(swapped)] == ["bad"]


def test_every_name_in_the_settings_is_looked_up(tmp_path: Path) -> None:
    config = settings(
        tmp_path,
        HEXHUB_URL="http://localhost:4000",
        DOCS_HOST="docs.invalid",
        CLUSTER_NODES="a@127.0.0.1:5000,b@hub2.invalid",
        CLUSTER_DNS_HOSTNAME="members.invalid",
    )
    levels = {each.said.split()[0]: each.level for each in around.dns(config)}
    assert levels == {
        "localhost": "ok",
        "docs.invalid": "bad",
        "members.invalid": "bad",
        "127.0.0.1": "ok",
        "hub2.invalid": "bad",
    }


def test_a_bucket_that_cannot_be_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "TRIES", 1)
    environ = {
        "STORAGE_TYPE": "s3",
        "S3_BUCKET": "hub",
        "AWS_S3_HOST": "127.0.0.1",
        "AWS_S3_PORT": str(free_ports(1)[0]),
        "AWS_S3_SCHEME": "http",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    found = only(around.bucket(settings(tmp_path, **environ)), "bucket")
    assert found.level == "bad"
    assert not list(around.bucket(settings(tmp_path)))
