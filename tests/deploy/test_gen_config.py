"""`hexhub gen-config`: the programs that read the files accept them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from click.testing import CliRunner

from hexhub.cli import hexhub
from tests.programs import require

NODES = ["--node", "127.0.0.1:4001", "--node", "127.0.0.1:4002"]


def generated(*arguments: str, **environ: str) -> str:
    result = CliRunner(env={"HEXHUB_URL": "https://hub.example.org", **environ}).invoke(
        hexhub, ["gen-config", *arguments]
    )
    assert result.exit_code == 0, result.output
    return result.output


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def self_signed(folder: Path) -> tuple[Path, Path]:
    from tests.hexhub.http.certificates import write

    return write(folder, "hub.example.org")


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    require("nginx")
    certificate, key = self_signed(tmp_path)
    text = generated("nginx", *NODES)
    text = text.replace("/etc/hexhub/tls/hub.example.org.pem", str(certificate))
    text = text.replace("/etc/hexhub/tls/hub.example.org.key", str(key))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}"
    )
    run("nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))


def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    require("haproxy")
    (tmp_path / "haproxy.cfg").write_text(generated("haproxy", *NODES))
    run("haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg"))


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    require("caddy")
    (tmp_path / "Caddyfile").write_text(generated("caddy", *NODES))
    # Its home is where it would keep certificates; `validate` asks for none.
    home = ["env", f"HOME={tmp_path}", f"XDG_DATA_HOME={tmp_path}", f"XDG_CONFIG_HOME={tmp_path}"]
    config = ["--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    assert "Valid configuration" in run(*home, "caddy", "validate", *config)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    require("systemd-analyze")
    unit = tmp_path / "hexhub.service"
    text = generated("systemd")
    assert re.search(r"^ExecStart=/\S+/hexhub serve$", text, re.M)
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))
    said = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert "hexhub.service" not in said, said


def test_nodes_come_from_the_cluster_settings_when_not_given() -> None:
    said = generated("caddy", CLUSTER_NODES="a@one,b@two:5001", PORT="4100")
    assert "reverse_proxy one:4100 two:4100 {" in said
    assert "hub.example.org {" in said
    assert "reverse_proxy 127.0.0.1:4000 {" in generated("caddy")
