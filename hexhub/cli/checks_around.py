"""What `hexhub doctor` asks others: names, the node, members and their clocks, bucket, upstream."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from hexhub.cli import health
from hexhub.cli.checks_here import Finding, now
from hexhub.cli.node import Failed, Options
from hexhub.config import Config
from hexhub.errors import HubError

DIAL_S = 3.0
SLOW_S = 5
SKEW_NOTE_S, SKEW_BAD_S = 2.0, 30.0
SET_CLOCK = "have the time set by NTP (timedatectl set-ntp true)"


def dns(config: Config) -> Iterator[Finding]:
    """Every name that the settings hold."""
    names = {urlsplit(config.url).hostname or "": f"of {config.url}"}
    if config.docs_host:
        names[config.docs_host.partition(":")[0]] = "of DOCS_HOST"
    if config.cluster_dns_hostname:
        names[config.cluster_dns_hostname] = "of CLUSTER_DNS_HOSTNAME"
    for member in config.cluster_nodes:
        names[member.partition("@")[2].partition(":")[0]] = "in CLUSTER_NODES"
    for host, whence in names.items():
        try:
            addresses = {item[4][0] for item in socket.getaddrinfo(host, None)}
        except OSError:
            yield Finding("dns", "bad", f"{host} {whence} is not known", "add it to the DNS")
            continue
        yield Finding("dns", "ok", f"{host} is {', '.join(sorted(map(str, addresses)))}")


def node(config: Config) -> Iterator[Finding]:
    """The node on this machine, by its health."""
    try:
        began = now()
        status, body = health.ask(config, "/health")
    except Failed as error:
        yield Finding("node", "bad", str(error), "start it; its log says why it ended")
        return
    taken = (now() - began).total_seconds()
    value = json.loads(body)
    for part, state in value.get("parts", {}).items():
        # The upstream is reported, and never fails a node.
        level = "ok" if state.get("ok") else "note" if part == "upstream" else "bad"
        words = ", ".join(f"{name} {text}" for name, text in state.items() if name != "ok")
        yield Finding(part, level, words or "well", "" if level == "ok" else "docs/operations.md")
    yield Finding("node", "ok" if status == 200 else "bad", f"/health answers {status}")
    if taken > SLOW_S:
        yield Finding("node", "note", f"took {taken:.1f} s to answer", "look at its load")


def signing(options: Options) -> Iterator[Finding]:
    """The key that the node signs with, against the one in SIGNING_KEY_FILE."""
    from hexhub.formats import signing_key

    try:
        seen = options.ask("GET", "/public-key")["fingerprint"]
    except Failed:
        return
    file = options.config.signing_key_file
    yield Finding("keys", "ok", f"the registry is signed by {seen}")
    if file is None:
        return
    try:
        wanted = signing_key.fingerprint(signing_key.load_private_key(file.read_bytes()))
    except (OSError, HubError):
        return
    if wanted != seen:
        said = f"SIGNING_KEY_FILE is {wanted}, another key than the hub's"
        yield Finding("keys", "bad", said, "unset it: it is read once, before a key exists")


def members(options: Options) -> Iterator[Finding]:
    """Whether each member answers, how far it is, and its clock against ours."""
    try:
        seen = options.ask("GET", "/cluster")
        clocks = options.ask("GET", "/cluster/clocks")
    except Failed:
        return
    for member in seen["members"]:
        name = member["name"]
        if name == seen["node"]:
            continue
        about = f"member {name}"
        if not member["reachable"]:
            yield Finding(about, "bad", _unreachable(member["address"]), _REACH)
            continue
        said = f"{member['role']}, {member['lag']} entries behind, version {member['version']}"
        yield Finding(about, "ok", said)
        if clocks.get(name) is not None:
            yield _clock(f"of {name}", clocks[name])


_REACH = "start it, or check CLUSTER_PORT, CLUSTER_ADVERTISE and the network between"


def _unreachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), DIAL_S).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"does not answer; {address or 'its address'} cannot be dialled: {reason}"
    return f"does not answer, though something listens at {address}"


def _clock(whose: str, ahead_s: float) -> Finding:
    off = abs(ahead_s)
    level = "bad" if off > SKEW_BAD_S else "note" if off > SKEW_NOTE_S else "ok"
    way = "ahead of" if ahead_s > 0 else "behind"
    said = f"the clock {whose} is {off:.1f} s {way} ours" if off > 0.1 else f"as that {whose}"
    return Finding("clock", level, said, "" if level == "ok" else SET_CLOCK)


def bucket(config: Config) -> Iterator[Finding]:
    """A small object is put into the bucket, read and deleted, with the rights of a node."""
    if config.storage_type == "local":
        return
    try:
        asyncio.run(_try_bucket(config))
    except (HubError, OSError) as error:
        yield Finding("bucket", "bad", str(error), "docs/operations/storage.md names the rights")
    else:
        yield Finding("bucket", "ok", f"{config.s3_bucket} can be written, read and deleted from")


async def _try_bucket(config: Config) -> None:
    from hexhub import parts
    from hexhub.storage.s3 import S3Storage

    storage = await S3Storage.connect(parts.bucket_of(config))
    try:
        await storage.check()
    finally:
        await storage.close()


def upstream(config: Config) -> Iterator[Finding]:
    """Whether the upstream answers, by the proxies of the environment; and its clock."""
    if not config.upstream_enabled:
        return
    if config.offline:
        yield Finding("upstream", "ok", "not asked: OFFLINE=true")
        return
    host = urlsplit(config.upstream_repo_url).hostname
    before = now()
    try:
        date = _date_of(config)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            fix = "set HEXHUB_UPSTREAM_CA_FILE to the certificates that vouch for it"
        else:
            fix = "allow it in the firewall, set HTTPS_PROXY, or set OFFLINE=true"
        yield Finding("upstream", "note", f"{host} cannot be reached ({reason})", fix)
        return
    yield Finding("upstream", "ok", f"{host} answers")
    if date is not None:
        between = before + (now() - before) / 2
        # Its Date has no fractions: half a second is the best guess.
        yield _clock(f"of {host}", (date - between).total_seconds() + 0.5)


def _date_of(config: Config) -> datetime | None:
    """When the upstream says that it is; None when it does not."""
    request = urllib.request.Request(config.upstream_repo_url + "/", method="HEAD")
    context = ssl.create_default_context(cafile=config.upstream_ca_file)
    try:
        with urllib.request.urlopen(request, timeout=DIAL_S, context=context) as answer:
            text = answer.headers.get("Date")
    except urllib.error.HTTPError as error:  # an answer all the same
        text = error.headers.get("Date")
        error.close()
    found = parsedate_to_datetime(text) if text else None
    return found if found is None or found.tzinfo else None
