"""Settings: where they may be written, which wins, what is refused and in which words."""

from __future__ import annotations

import copy
import ipaddress
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from hexhub import keyring
from hexhub.config import STARS, Config, Secret, check_listening, describe, find_checkout, load
from hexhub.errors import Refused

CHECKOUT = Path("/checkout")
CANARY = "canary-9f27c1d0-never-shown-anywhere"

# design §10: the names that also work bare, each with a value that is not its default; TLS_CERT and
# TLS_KEY, which are refused, are below.
OTHER = {
    "PORT": "4321",
    "NODE_NAME": "hub.two",
    "SECRET_KEY_BASE": CANARY,
    "PHX_HOST": "hub.example.com",
    "CLUSTERING_ENABLED": "off",
    "CLUSTER_NODES": "a@one,b@two:5001",
    "CLUSTER_DISCOVERY_TYPE": "dns",
    "CLUSTER_DNS_HOSTNAME": "hub.local",
    "CLUSTER_PORT": "6000",
    "CLUSTER_EXPECT": "5",
    "CLUSTER_ADVERTISE": "10.0.0.7",
    "COOKIE": CANARY,
    "MNESIA_DIR": "/older",
    "DATA_DIR": "/var/hub",
    "STORAGE_TYPE": "LOCAL",
    "STORAGE_PATH": "/blobs",
    "S3_BUCKET": "hub",
    "S3_BUCKET_PATH": "a/b",
    "S3_REDIRECT": "yes",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_REGION": "eu-central-1",
    "AWS_S3_HOST": "minio.local",
    "AWS_S3_PORT": "9000",
    "AWS_S3_SCHEME": "http://",
    "AWS_S3_PATH_STYLE": "1",
    "UPSTREAM_ENABLED": "false",
    "UPSTREAM_URL": "https://up.example/",
    "UPSTREAM_API_URL": "https://up.example/api",
    "UPSTREAM_REPO_URL": "https://repo.up.example",
    "UPSTREAM_BUILDS_URL": "https://builds.up.example",
    "UPSTREAM_PUBLIC_KEY_FILE": "/keys/up.pem",
    "UPSTREAM_TIMEOUT": "5000",
    "UPSTREAM_RETRY_ATTEMPTS": "0",
    "UPSTREAM_RETRY_DELAY": "10",
    "OFFLINE": "true",
    "REGISTRATION": "open",
    "ANONYMOUS_READ": "mirror",
    "BASIC_AUTH": "off",
    "DEPENDENCY_CHECK": "own",
    "DOCS_HOST": "docs.example.com:8443",
    "WORKERS": "1",
    "SIGNING_KEY_FILE": "/keys/hub.pem",
    "SMTP_URL": f"smtps://mailer:{CANARY}@mail:465",
    "BEHIND_PROXY": "10.0.0.0/8, ::1",
    "LOG_FORMAT": "json",
    "RATE_LIMITS": "off",
    "HEX_TEST_MODE": "true",
}


def configured(
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    flags: Mapping[str, str] | None = None,
    checkout: Path = CHECKOUT,
) -> Config:
    return load(environ or {}, checkout=checkout, file=file, flags=flags or {})


def source(config: Config, name: str) -> str:
    (found,) = [setting.source for setting in describe(config) if setting.name == name]
    return found


def refusal(environ: Mapping[str, str], **more: object) -> str:
    with pytest.raises(Refused) as refused:
        configured(environ, **more)  # type: ignore[arg-type]
    return str(refused.value)


def test_an_empty_environment_gives_the_defaults_of_the_design() -> None:
    config = configured()
    assert (config.host, config.port, config.node_name) == ("127.0.0.1", 4000, "hex_hub1")
    assert config.url == "http://localhost:4000"
    assert config.data_dir == CHECKOUT / "data" / "hex_hub1"
    assert config.storage_path == CHECKOUT / "data" / "hex_hub1" / "storage"
    assert config.cluster_port == 5000
    assert config.cluster_advertise == "127.0.0.1"
    assert config.cluster_expect == 3
    assert config.cluster_discovery_type == "mdns"
    assert config.registration == "closed"
    assert config.anonymous_read == "true"
    assert config.dependency_check == "upstream"
    assert config.basic_auth
    assert config.upstream_enabled
    assert config.upstream_repo_url == "https://repo.hex.pm"
    assert config.rate_limits
    assert not config.hex_test_mode
    assert config.secret_key_base is None
    assert {setting.source for setting in describe(config)} == {"default"}


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_name_of_the_design_works_bare_and_with_the_prefix(name: str) -> None:
    bare = configured({name: OTHER[name]})
    prefixed = configured({f"HEXHUB_{name}": OTHER[name]})
    field = "data_dir" if name == "MNESIA_DIR" else name.lower()
    assert getattr(bare, field) == getattr(prefixed, field)
    assert bare.sources[field] == f"environment {name}"
    assert prefixed.sources[field] == f"environment HEXHUB_{name}"


def test_every_bare_name_of_the_design_is_known_and_no_other() -> None:
    settings = {setting.name for setting in describe(configured())}
    bare = {name for name in settings if not name.startswith("HEXHUB_")}
    assert bare == {*OTHER, "TLS_CERT", "TLS_KEY"} - {"MNESIA_DIR"}


def test_the_prefixed_name_wins() -> None:
    config = configured({"PORT": "1", "HEXHUB_PORT": "2"})
    assert config.port == 2


def test_an_empty_text_is_no_value() -> None:
    assert configured({"PORT": "", "HEXHUB_HOST": " ", "SECRET_KEY_BASE": ""}) == configured()


@pytest.mark.parametrize("name", ["HOST", "URL", "LOG_LEVEL", "ADMIN_USER"])
def test_names_that_shells_export_are_not_read_bare(name: str) -> None:
    assert configured({name: "::not a value::"}) == configured()


def test_kubernetes_names_are_ignored() -> None:
    config = configured(
        {
            "HEXHUB_SERVICE_HOST": "10.0.0.1",
            "HEXHUB_SERVICE_PORT_HTTP": "4000",
            "HEXHUB_PORT": "tcp://10.0.0.1:4000",
            "HEXHUB_PORT_4000_TCP_ADDR": "10.0.0.1",
            "HEXHUB_WEB_SERVICE_HOST": "10.0.0.2",
            "HEXHUB_WEB_PORT": "tcp://10.0.0.2:80",
            "HEXHUB_WEB_PORT_80_TCP": "tcp://10.0.0.2:80",
            "PORT": "4100",
        }
    )
    assert config.port == 4100


def test_the_word_of_the_client_lines_is_no_setting_and_no_error() -> None:
    assert configured({"HEXHUB_KEY": "abc"}) == configured()


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    assert refusal({"HEXHUB_PROT": "1"}) == (
        "HEXHUB_PROT is not a setting (did you mean HEXHUB_PORT?)"
    )
    assert refusal({"HEXHUB_XYZZYPLUGH": "1"}) == "HEXHUB_XYZZYPLUGH is not a setting"
    assert refusal({}, flags={"dta-dir": "x"}) == (
        "--dta-dir is not a setting (did you mean --data-dir?)"
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'"),
        ({"PORT": "0"}, "PORT must be a whole number from 1 to 65535, not '0'"),
        ({"PORT": "1_000"}, "PORT must be a whole number from 1 to 65535, not '1_000'"),
        ({"PORT": "４０００"}, "PORT must be a whole number from 1 to 65535, not '４０００'"),
        (
            {"DEPENDENCY_CHECK": "upsteam"},
            "DEPENDENCY_CHECK must be one of own, upstream, off (did you mean upstream?), "
            "not 'upsteam'",
        ),
        ({"OFFLINE": "maybe"}, "OFFLINE must be true or false, not 'maybe'"),
        ({"COOKIE": "short"}, "COOKIE must have at least 32 characters"),
        ({"NODE_NAME": "run"}, "NODE_NAME must not be run: data/run is taken, not 'run'"),
        (
            {"HEXHUB_URL": "https://h/x"},
            "HEXHUB_URL must not have a path: HexHub answers at the root of its host, "
            "not 'https://h/x'",
        ),
    ],
)
def test_a_bad_value_is_refused_in_words(environ: dict[str, str], message: str) -> None:
    assert refusal(environ) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NODE_NAME", "../up"),
        ("NODE_NAME", "a/b"),
        ("NODE_NAME", ".hidden"),
        ("NODE_NAME", "x" * 64),
        ("HEXHUB_HOST", "http://h"),
        ("HEXHUB_HOST", "a b"),
        ("HEXHUB_URL", "hub.example.com"),
        ("HEXHUB_URL", "ftp://hub"),
        ("HEXHUB_URL", "https://u:p@hub"),
        ("HEXHUB_URL", "https://hub?x"),
        ("HEXHUB_URL", "https://hub:99999"),
        ("HEXHUB_URL", "https://[half"),
        ("PHX_HOST", "hub:4000"),
        ("DOCS_HOST", "docs:port"),
        ("DATA_DIR", "~/data"),
        ("DATA_DIR", "a\nb"),
        ("BEHIND_PROXY", "everyone"),
        ("BEHIND_PROXY", "10.0.0.1/8"),
        ("CLUSTER_NODES", "alone"),
        ("CLUSTER_NODES", "a@h,a@i"),
        ("SMTP_URL", "mail:25"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str) -> None:
    assert refusal({name: value}).startswith(f"{name} must ")


@given(
    name=st.sampled_from([*OTHER, "TLS_CERT", "HEXHUB_URL", "HEXHUB_HOST"]),
    text=st.text(st.characters(codec="utf-8"), max_size=40),
)
def test_any_text_is_a_value_or_one_refused_line(name: str, text: str) -> None:
    try:
        said = configured({name: text}).url
    except Refused as refused:
        said = str(refused)
    assert len(said.splitlines()) == 1


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hexhub.toml"
    file.write_text(
        'port = 1001\nnode_name = "filed"\nWORKERS = 1\nhost = "::1"\n'
        'behind_proxy = ["10.0.0.0/8", "192.0.2.1"]\nbasic_auth = false\n'
    )
    config = configured({"PORT": "1002", "NODE_NAME": "env"}, file=file, flags={"port": "1003"})
    assert (config.port, config.node_name, config.host) == (1003, "env", "::1")
    assert config.behind_proxy == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("192.0.2.1"),
    )
    assert not config.basic_auth
    assert source(config, "PORT") == "flag --port"
    assert source(config, "NODE_NAME") == "environment NODE_NAME"
    assert source(config, "HEXHUB_HOST") == f"file {file}"
    assert source(config, "LOG_FORMAT") == "default"


def test_the_file_is_named_by_the_environment_relative_to_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text("port = 1001")
    config = configured({"HEXHUB_CONFIG": "hub.toml"}, checkout=tmp_path)
    assert config.port == 1001


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"prot = 1", "prot in {file} is not a setting (did you mean port in {file}?)"),
        (b"[port]\na = 1", "port in {file} must be text, a number, true or false, or a list"),
        (b"port = 1.5", "port in {file} must be text, a number, true or false, or a list"),
        (b"port = 70000", "port in {file} must be a whole number from 1 to 65535, not '70000'"),
        (b"port = ", "the settings file {file} is not TOML: "),
        (b"a = " + b"[" * 100_000, "the settings file {file} is not TOML: "),
        (b"\xff", "the settings file {file} is not UTF-8 text"),
        (b"#" * (1 << 20) + b"#", "the settings file {file} is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_settings_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "hexhub.toml"
    file.write_bytes(content)
    assert refusal({}, file=file).startswith(words.format(file=file))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    assert refusal({"HEXHUB_CONFIG": str(file)}) == (
        f"the settings file {file} cannot be read: No such file or directory"
    )


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY + "\n")
    config = configured({"SECRET_KEY_BASE_FILE": "key"}, checkout=tmp_path)
    assert config.secret_key_base is not None
    assert config.secret_key_base.reveal() == CANARY
    assert source(config, "SECRET_KEY_BASE") == "environment SECRET_KEY_BASE_FILE"


def test_a_secret_given_twice_or_from_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    both = {"COOKIE": CANARY, "COOKIE_FILE": "x"}
    assert refusal(both) == "set one of COOKIE and COOKIE_FILE"
    assert "cannot be read: No such file" in refusal({"HEXHUB_COOKIE_FILE": "nowhere"})
    assert refusal({"COOKIE_FILE": str(tmp_path / "empty")}).endswith("is empty")
    assert "not a setting" in refusal({"HEXHUB_PORT_NUMBER_FILE_X": "1"} | {"HEXHUB_URL_FILE": "x"})


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secrets = ["SECRET_KEY_BASE", "COOKIE", "AWS_SECRET_ACCESS_KEY", "SMTP_URL"]
    config = configured({name: OTHER[name] for name in secrets})
    shown = repr(config) + str(config.cookie) + f"{config.cookie}" + repr(describe(config))
    assert CANARY not in shown
    values = {setting.name: setting.value for setting in describe(config)}
    assert [values[name] for name in secrets] == [STARS] * 4
    for name in ("SMTP_URL", "COOKIE"):
        assert CANARY not in refusal({name: f"{CANARY}\x01"})
    assert CANARY not in refusal({"SMTP_URL": CANARY})


def test_a_secret_equals_the_same_secret_only() -> None:
    assert Secret("a") == Secret("a") == copy.copy(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_the_public_base_is_the_url_else_phx_host_else_localhost() -> None:
    given_all = {"HEXHUB_URL": "https://hub.example.com:8443/", "PHX_HOST": "phx.example.com"}
    assert configured(given_all).url == "https://hub.example.com:8443"
    assert configured({"PHX_HOST": "Phx.example.com"}).url == "https://phx.example.com"
    assert configured({"PORT": "80"}).url == "http://localhost:80"


def test_mnesia_dir_is_the_older_name_of_data_dir() -> None:
    assert configured({"MNESIA_DIR": "/old"}).data_dir == Path("/old")
    assert configured({"MNESIA_DIR": "/old", "DATA_DIR": "/new"}).data_dir == Path("/new")
    assert configured({"MNESIA_DIR": "/old"}).storage_path == Path("/old/storage")


def test_a_relative_path_is_taken_from_the_checkout() -> None:
    assert configured({"DATA_DIR": "some/where"}).data_dir == CHECKOUT / "some" / "where"


def test_nodes_of_a_checkout_share_a_secret_unless_their_data_directory_was_chosen() -> None:
    assert configured({"NODE_NAME": "b"}).secret_file == CHECKOUT / "data" / "secret"
    assert configured({"DATA_DIR": "/d"}).secret_file == Path("/d/secret")
    assert configured({"MNESIA_DIR": "/d"}).secret_file == Path("/d/secret")


def test_what_a_cluster_derives_from_its_members() -> None:
    nodes = configured({"CLUSTER_NODES": "a@h1 b@h2", "NODE_NAME": "c", "PORT": "4002"})
    assert (nodes.cluster_expect, nodes.cluster_discovery_type) == (3, "nodes")
    assert nodes.cluster_port == 5002
    assert configured({"CLUSTER_NODES": "a@h1", "NODE_NAME": "a"}).cluster_expect == 1
    dns = configured({"CLUSTER_DNS_HOSTNAME": "hub.local", "HEXHUB_HOST": "10.1.1.1"})
    assert (dns.cluster_discovery_type, dns.cluster_advertise) == ("dns", "10.1.1.1")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("hub.example.com", False),
    ],
)
def test_test_mode_is_for_loopback_only(host: str, loopback: bool) -> None:
    environ = {"HEXHUB_HOST": host}
    assert configured(environ).on_loopback is loopback
    environ["HEX_TEST_MODE"] = "true"
    if loopback:
        assert configured(environ).hex_test_mode
    else:
        assert refusal(environ).startswith("HEX_TEST_MODE works only on loopback")


def test_test_mode_changes_defaults_and_only_defaults() -> None:
    config = configured({"HEX_TEST_MODE": "true"})
    assert config.registration == "open"
    assert not config.upstream_enabled
    assert config.dependency_check == "own"
    assert not config.rate_limits
    assert source(config, "REGISTRATION") == "default"
    assert configured({"HEX_TEST_MODE": "true", "DEPENDENCY_CHECK": "off"}).dependency_check == (
        "off"
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HEX_TEST_MODE": "1", "CLUSTERING_ENABLED": "true"}, "HEX_TEST_MODE and CLUSTERING"),
        ({"HEX_TEST_MODE": "1", "BEHIND_PROXY": "::1"}, "HEX_TEST_MODE and BEHIND_PROXY"),
        ({"TLS_CERT": "/a"}, "TLS_CERT and TLS_KEY go together"),
        ({"HEXHUB_ADMIN_USER": "mara"}, "HEXHUB_ADMIN_USER, HEXHUB_ADMIN_EMAIL and"),
        (
            {"WORKERS": "2", "TLS_CERT": "/a", "TLS_KEY": "/b"},
            "WORKERS=2 and TLS_CERT exclude each other",
        ),
        (
            {
                "CLUSTERING_ENABLED": "true",
                "CLUSTER_ADVERTISE": "0.0.0.0",
            },
            "CLUSTERING_ENABLED=true needs an address that other nodes can dial",
        ),
        ({"CLUSTER_PORT": "4000"}, "CLUSTER_PORT and PORT are both 4000"),
    ],
)
def test_values_that_do_not_go_together_are_refused(environ: dict[str, str], words: str) -> None:
    assert refusal(environ).startswith(words)


def test_the_first_administrator_comes_with_a_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(CANARY)
    config = configured(
        {
            "HEXHUB_ADMIN_USER": "mara",
            "HEXHUB_ADMIN_EMAIL": "mara@example.org",
            "HEXHUB_ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
        }
    )
    assert config.admin_password == Secret(CANARY)


def test_every_setting_says_what_it_means_and_what_it_is_without_a_value() -> None:
    settings = describe(configured())
    assert len(settings) == len(fields(Config)) - 2  # all but checkout and sources
    assert len({setting.name for setting in settings}) == len(settings)
    for setting in settings:
        assert setting.meaning
        assert "\n" not in setting.meaning
    assert {s.name: s.default for s in settings}["CLUSTER_PORT"] == "PORT + 1000"
    assert {s.name: s.unit for s in settings}["UPSTREAM_TIMEOUT"] == "ms"


def test_the_checkout_is_where_this_code_and_pyproject_stand() -> None:
    assert (find_checkout() / "hexhub" / "config").is_dir()


def test_importing_the_settings_brings_no_library_along() -> None:
    code = "import sys, json, hexhub.config; print(json.dumps(sorted(sys.modules)))"
    root = str(find_checkout())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, check=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint({"aiohttp", "asyncio", "click", "cryptography", "lmdb", "tomllib"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "hub.example.com"])
def test_a_public_address_needs_tls_or_a_proxy_or_a_word(host: str) -> None:
    with pytest.raises(Refused, match="HEXHUB_PLAIN_HTTP=true"):
        check_listening(configured({"HEXHUB_HOST": host}))
    tls = {"TLS_CERT": "/cert.pem", "TLS_KEY": "/key.pem"}
    assert configured(tls).url == "https://localhost:4000"
    for told in (tls, {"BEHIND_PROXY": "10.0.0.0/8"}, {"HEXHUB_PLAIN_HTTP": "true"}):
        check_listening(configured({"HEXHUB_HOST": host, **told}))
    check_listening(configured({"HEXHUB_HOST": "127.0.0.1"}))


def test_the_secret_is_kept_where_the_data_is_when_that_was_chosen(tmp_path: Path) -> None:
    chosen = configured({"DATA_DIR": str(tmp_path / "data")}, checkout=tmp_path / "checkout")
    keyring.root_secret(chosen)
    assert (tmp_path / "data/secret").is_file()
    assert not (tmp_path / "checkout").exists()


def test_a_bucket_is_named_where_one_is_needed() -> None:
    assert refusal({"STORAGE_TYPE": "s3"}) == "STORAGE_TYPE=s3 needs S3_BUCKET"
    assert refusal({"STORAGE_TYPE": "hybrid"}) == "STORAGE_TYPE=hybrid needs S3_BUCKET"
    alone = {"STORAGE_TYPE": "s3", "S3_BUCKET": "b", "AWS_ACCESS_KEY_ID": "AKIA"}
    assert refusal(alone) == ("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")
    assert refusal({"HEXHUB_S3_KMS_KEY": "k"}).endswith("needs HEXHUB_S3_ENCRYPTION=aws:kms")
    assert configured({"HEXHUB_S3_ENCRYPTION": "aes256"}).s3_encryption == "AES256"
