"""Every setting once: its name, default, type, unit and meaning (design §10).

A field's name in upper case is the setting's name: `port` is `HEXHUB_PORT`, and `PORT` where the
bare form is allowed. `load` fills the fields in the order in which they stand here, so that a
default may depend on the settings above it.
"""

# ruff: noqa: RUF009  (_setting makes a field, as dataclasses.field does)

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from hexhub.config import values as v
from hexhub.config.values import Network, Secret
from hexhub.formats.rate_limits import RateLimits

Known = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of a setting apart from its name and type.

    `default` gets the values of the settings declared above it, and `checkout`. `default_text` says
    in words what a computed default is. `bare`: the name also works without `HEXHUB_`. `older`:
    names of the same setting that lose to its own.
    """

    parse: Callable[[str], object]
    meaning: str
    default: Callable[[Known], object]
    default_text: str
    unit: str
    bare: bool
    older: tuple[str, ...]
    secret: bool
    live: bool
    """Whether a running node takes up a change (`hexhub config reload`, SIGHUP)."""

    def written(self, field: str) -> str:
        """The setting's name as operators write it."""
        return field.upper() if self.bare else f"HEXHUB_{field.upper()}"


def _setting(
    parse: Callable[[str], object],
    default: object,
    meaning: str,
    *,
    shown: str | None = None,
    unit: str = "",
    bare: bool = True,
    older: tuple[str, ...] = (),
    secret: bool = False,
    live: bool = False,
) -> Any:
    """A field of Config; a callable `default` is computed, and `shown` says what it computes."""
    computed = default if callable(default) else lambda known: default
    words = show(default) if shown is None else shown
    declared = Declared(parse, meaning, computed, words, unit, bare, older, secret, live)
    return field(metadata={"declared": declared})


def show(value: object) -> str:
    """A value as a person would write it; secrets are stars."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _unless_testing(usual: object, testing: object) -> Callable[[Known], object]:
    """The default that test mode changes (http-api.md §9)."""
    return lambda known: testing if known["hex_test_mode"] else usual


def _public_url(known: Known) -> str:
    if known["phx_host"]:
        return f"https://{known['phx_host']}"
    scheme = "https" if known["tls_cert"] else "http"
    return f"{scheme}://localhost:{known['port']}"


def _discovery(known: Known) -> str:
    if known["cluster_nodes"]:
        return "nodes"
    return "dns" if known["cluster_dns_hostname"] else "mdns"


def _expect(known: Known) -> int:
    names = {member.partition("@")[0] for member in known["cluster_nodes"]}
    return len(names | {known["node_name"]}) if names else 3


_FULL_SECRET = 32  # characters


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one node, as they hold; made by `load`."""

    checkout: Path
    sources: Mapping[str, str] = field(repr=False, compare=False)

    # The node
    hex_test_mode: bool = _setting(
        v.boolean, False, "Test endpoints for the Hex client's own suite; only on loopback"
    )
    node_name: str = _setting(v.node_name, "hex_hub1", "Name of this node, unique in its cluster")
    host: str = _setting(v.address, "127.0.0.1", "Address to listen on", bare=False)
    port: int = _setting(v.port, 4000, "TCP port of HTTP")
    tls_cert: Path | None = _setting(v.path, None, "Certificate chain (PEM) to serve TLS with")
    tls_key: Path | None = _setting(v.path, None, "Private key (PEM) of TLS_CERT")
    phx_host: str | None = _setting(
        v.host_name, None, "Public host name, served as https by a proxy in front"
    )
    url: str = _setting(
        v.base_url,
        _public_url,
        "Public base of every printed and rendered URL",
        shown="https://PHX_HOST, else http://localhost:PORT (https with TLS_CERT)",
        bare=False,
    )
    docs_host: str | None = _setting(
        v.host_and_port, None, "Host of its own for documentation pages"
    )
    behind_proxy: tuple[Network, ...] = _setting(
        v.networks, (), "Addresses or networks whose X-Forwarded-* headers are believed", live=True
    )
    plain_http: bool = _setting(
        v.boolean,
        False,
        "Listen on a public address with neither TLS_CERT nor BEHIND_PROXY",
        bare=False,
    )
    workers: int = _setting(
        v.number(1, 64), 1, "Processes that accept connections; above 1 not with TLS_CERT"
    )
    log_format: Literal["auto", "json", "pretty"] = _setting(
        v.choice("auto", "json", "pretty"),
        "auto",
        "Log lines; auto: pretty on a terminal, else json",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        v.choice("debug", "info", "warning", "error"),
        "info",
        "Least level that is logged",
        bare=False,
        live=True,
    )

    otel_endpoint: str | None = _setting(
        v.http_url,
        None,
        "Collector of OpenTelemetry traces (OTLP over HTTP), such as http://collector:4318; "
        "needs the extra otel",
        shown="none is sent",
        bare=False,
    )
    otel_share: int = _setting(
        v.number(1, 100), 100, "Share of traces that are recorded", unit="percent", bare=False
    )

    # Data and secrets
    data_dir: Path = _setting(
        v.path,
        lambda known: known["checkout"] / "data" / known["node_name"],
        "Directory of this node's tables, log and blobs",
        shown="data/NODE_NAME in the checkout",
        older=("MNESIA_DIR",),
    )
    secret_key_base: Secret | None = _setting(
        v.secret(_FULL_SECRET),
        None,
        "Root of every derived key; the same on all nodes of a cluster",
        shown="made once, in data/secret (DATA_DIR/secret where DATA_DIR is set)",
        secret=True,
    )
    signing_key_file: Path | None = _setting(
        v.path, None, "RSA key (PEM) that signs the registry; read once, before a key exists"
    )

    # Storage
    storage_type: Literal["local", "s3", "hybrid"] = _setting(
        v.choice("local", "s3", "hybrid"), "local", "Where tarballs and docs are kept"
    )
    storage_path: Path = _setting(
        v.path,
        lambda known: known["data_dir"] / "storage",
        "Directory of local blobs",
        shown="DATA_DIR/storage",
    )
    s3_bucket: str | None = _setting(v.text, None, "Bucket of blobs")
    s3_bucket_path: str = _setting(v.text, "", "Prefix of every object in the bucket")
    s3_redirect: bool = _setting(
        v.boolean,
        False,
        "Send public downloads without credentials to presigned S3 URLs",
        live=True,
    )
    aws_access_key_id: str | None = _setting(v.text, None, "S3 access key id")
    aws_secret_access_key: Secret | None = _setting(
        v.secret(1), None, "S3 secret access key", secret=True
    )
    aws_region: str = _setting(v.text, "us-east-1", "S3 region")
    aws_s3_host: str | None = _setting(v.address, None, "S3 host", shown="Amazon's of AWS_REGION")
    aws_s3_port: int | None = _setting(v.port, None, "S3 port", shown="the scheme's")
    aws_s3_scheme: Literal["http", "https"] = _setting(v.url_scheme, "https", "S3 scheme")
    aws_s3_path_style: bool = _setting(v.boolean, False, "Put the bucket in the path, not the host")

    s3_encryption: Literal["none", "AES256", "aws:kms"] = _setting(
        v.exactly("none", "AES256", "aws:kms"),
        "none",
        "Encryption that S3 is asked for; none: the bucket's own",
        bare=False,
    )
    s3_kms_key: str | None = _setting(
        v.text, None, "Key id for aws:kms", shown="the account's", bare=False
    )
    s3_cache_size: int = _setting(
        v.number(1 << 20, 999_999_999_999),
        10 << 30,
        "Local copies that STORAGE_TYPE=hybrid keeps, in STORAGE_PATH",
        unit="bytes",
        bare=False,
        live=True,
    )

    # Backups
    backup_dir: Path | None = _setting(
        v.path, None, "Directory of scheduled backups", shown="none are made", bare=False
    )
    backup_every: int = _setting(
        v.number(1, 8760), 24, "Time between scheduled backups", unit="hours", bare=False, live=True
    )
    backup_keep: int = _setting(
        v.number(1, 1000), 7, "Scheduled backups that are kept", unit="files", bare=False, live=True
    )
    backup_passphrase: Secret | None = _setting(
        v.secret(12),
        None,
        "Wraps the secrets in scheduled backups",
        shown="they hold none",
        bare=False,
        secret=True,
        live=True,
    )

    # The cluster
    clustering_enabled: bool = _setting(
        v.boolean, False, "Join or form a cluster; otherwise a fresh node forms alone"
    )
    cluster_nodes: tuple[str, ...] = _setting(
        v.members, (), "Members as name@host[:port], this one may be among them"
    )
    cluster_dns_hostname: str | None = _setting(
        v.host_name, None, "DNS name (A or SRV) that resolves to the members"
    )
    cluster_discovery_type: Literal["nodes", "mdns", "dns"] = _setting(
        v.choice("nodes", "mdns", "dns"),
        _discovery,
        "How members are found",
        shown="nodes with CLUSTER_NODES, dns with CLUSTER_DNS_HOSTNAME, else mdns",
    )
    cluster_port: int = _setting(
        v.port,
        lambda known: known["port"] + (1000 if known["port"] <= 64535 else -1000),
        "TCP port of the links between nodes",
        shown="PORT + 1000",
    )
    cluster_advertise: str = _setting(
        v.address,
        lambda known: known["host"],
        "Address that other members dial, where the cluster port is bound",
        shown="HEXHUB_HOST",
    )
    cluster_expect: int = _setting(
        v.number(1, 7),
        _expect,
        "Fresh nodes that together form a new cluster",
        shown="the names in CLUSTER_NODES with this one, else 3",
        unit="nodes",
    )
    cookie: Secret | None = _setting(
        v.secret(_FULL_SECRET),
        None,
        "Secret of the links between nodes",
        shown="derived from SECRET_KEY_BASE",
        secret=True,
    )

    # Who may do what
    registration: Literal["closed", "open"] = _setting(
        v.choice("closed", "open"),
        _unless_testing("closed", "open"),
        "Whether anybody may make an account",
        shown="closed (open in test mode)",
        live=True,
    )
    anonymous_read: Literal["true", "mirror", "false"] = _setting(
        v.choice("true", "mirror", "false"),
        "true",
        "What is read without credentials: everything public, upstream packages only, nothing",
        live=True,
    )
    basic_auth: bool = _setting(
        v.boolean, True, "Name and password on the API", shown="true", live=True
    )
    require_two_factor: bool = _setting(
        v.boolean,
        False,
        "Whether everyone who publishes or changes something must use two-factor authentication",
        bare=False,
        live=True,
    )
    dependency_check: Literal["own", "upstream", "off"] = _setting(
        v.choice("own", "upstream", "off"),
        _unless_testing("upstream", "own"),
        "Where the requirements of a published release must exist",
        shown="upstream (own in test mode)",
        live=True,
    )
    rate_limits: RateLimits = _setting(
        v.rate_limits,
        _unless_testing(RateLimits(), RateLimits(enabled=False)),
        "API requests a minute by kind of caller, and for a group of routes (read, write, publish, "
        "auth) apart, such as ip=100 user=500 organization=500 auth.ip=20; false: no limit",
        shown="true: ip=100 user=500 organization=500 (false in test mode)",
        live=True,
    )
    admin_user: str | None = _setting(
        v.text, None, "Name of the first administrator, made at start", bare=False
    )
    admin_email: str | None = _setting(
        v.text, None, "Address of the first administrator", bare=False
    )
    admin_password: Secret | None = _setting(
        v.secret(1), None, "Password of the first administrator", bare=False, secret=True
    )
    smtp_url: Secret | None = _setting(
        v.smtp_url,
        None,
        "Server that takes the mails",
        shown="no mail is sent",
        secret=True,
        live=True,
    )

    advisories_url: str | None = _setting(
        v.http_url,
        None,
        "OSV export of security advisories, fetched once a day",
        shown="none is fetched",
        bare=False,
    )

    # The upstream
    upstream_enabled: bool = _setting(
        v.boolean,
        _unless_testing(True, False),
        "Mirror the packages of the upstream",
        shown="true (false in test mode)",
    )
    offline: bool = _setting(v.boolean, False, "Never dial out")
    readme_pictures: bool = _setting(
        v.boolean,
        lambda known: known["upstream_enabled"],
        "Fetch the pictures in READMEs that are on other public hosts; else they are links",
        shown="UPSTREAM_ENABLED",
        bare=False,
    )
    upstream_url: str = _setting(v.http_url, "https://hex.pm", "The upstream's site")
    upstream_api_url: str = _setting(v.http_url, "https://hex.pm/api", "The upstream's API")
    upstream_repo_url: str = _setting(
        v.http_url, "https://repo.hex.pm", "The upstream's repository"
    )
    upstream_builds_url: str = _setting(
        v.http_url, "https://builds.hex.pm", "The upstream's builds of Hex and rebar3"
    )
    upstream_public_key_file: Path | None = _setting(
        v.path, None, "Public key (PEM) of the upstream", shown="hex.pm's, built in"
    )
    upstream_timeout: int = _setting(
        v.number(1, 600_000), 30_000, "Longest wait for the upstream", unit="ms", live=True
    )
    upstream_retry_attempts: int = _setting(
        v.number(0, 20), 3, "Further tries after a failed request", unit="tries", live=True
    )
    upstream_retry_delay: int = _setting(
        v.number(0, 600_000),
        1000,
        "Wait before the first further try; doubles",
        unit="ms",
        live=True,
    )

    upstream_ca_file: Path | None = _setting(
        v.path,
        None,
        "Certificates (PEM) that vouch for the upstream or a proxy before it",
        shown="the system's",
        bare=False,
    )
    upstream_connections: int = _setting(
        v.number(1, 64), 8, "Connections to the upstream at most", bare=False, live=True
    )
    upstream_wait: int = _setting(
        v.number(0, 60_000),
        2000,
        "Wait for the upstream before a stale copy is served",
        unit="ms",
        bare=False,
        live=True,
    )
    mirror_quota: int = _setting(
        v.number(0, 999_999_999_999),
        0,
        "Bytes of kept tarballs and docs, the longest unused evicted first; 0: no bound",
        unit="bytes",
        bare=False,
        live=True,
    )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def secret_file(self) -> Path:
        """Where SECRET_KEY_BASE is kept when it is not set (design §9).

        All nodes of a checkout share one; a node whose data directory was chosen has its own.
        """
        if self.sources["data_dir"] == "default":
            return self.checkout / "data" / "secret"
        return self.data_dir / "secret"


def declared() -> dict[str, Declared]:
    """Every setting by the name of its field, in the order of declaration."""
    return {item.name: of(item) for item in fields(Config) if "declared" in item.metadata}


def of(item: Field[Any]) -> Declared:
    """The declaration that a field of Config carries."""
    found = item.metadata["declared"]
    assert isinstance(found, Declared)
    return found
