"""The image and the compose file: what the Dockerfile says, tried here as far as no engine is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

from hexhub.config import check_listening, describe, load

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTIONS = {
    *("FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE"),
    *("STOPSIGNAL", "HEALTHCHECK", "CMD"),
}


def instructions() -> list[tuple[str, str]]:
    """Word and rest of every instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def last(word: str) -> str:
    return [rest for found, rest in instructions() if found == word][-1]


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV")))


def setting_names(tmp_path: Path) -> set[str]:
    names = {setting.name for setting in describe(load({}, checkout=tmp_path))}
    return names | {f"{name}_FILE" for name in names}


def test_the_dockerfile_is_of_known_instructions_and_runs_as_nobody() -> None:
    assert {word for word, _ in instructions()} <= INSTRUCTIONS
    assert last("USER") == "10001:10001"
    assert json.loads(last("VOLUME")) == ["/data"]
    assert last("STOPSIGNAL") == "SIGTERM"
    stage = [word for word, _ in instructions()][::-1]
    assert stage.index("USER") < stage.index("COPY")  # files belong to root


def test_the_image_sets_only_settings(tmp_path: Path) -> None:
    known = setting_names(tmp_path) | {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    assert set(image_environment()) <= known


def test_what_the_image_copies_is_let_through_and_makes_a_whole_package(tmp_path: Path) -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert set(copied) == allowed
    tree = tmp_path / "src"
    tree.mkdir()
    for source in copied:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, tree / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tree / source)
    done = subprocess.run(
        [
            *f"{sys.executable} -m pip wheel -q --no-deps --no-build-isolation".split(),
            "--disable-pip-version-check",
            "-w",
            str(tmp_path / "out"),
            str(tree),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    there = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for path in (*(ROOT / "hexhub").rglob("*"), *(ROOT / "cluster").rglob("*"))
        if path.suffix in {".py", ".html", ".css", ".js", ".svg", ".txt", ".pem"}
    }
    assert wanted - there == set()


def test_the_entry_command_starts_a_node_on_a_read_only_tree(tmp_path: Path) -> None:
    from tests.end_to_end.node import RunningNode

    assert json.loads(last("CMD")) == ["hexhub", "serve"]
    image = image_environment() | {"DATA_DIR": str(tmp_path / "data")}
    del image["PATH"]
    node = RunningNode(tmp_path, image | {"HEXHUB_PLAIN_HTTP": "true"})
    try:
        check = last("HEALTHCHECK").partition("CMD ")[2]
        assert json.loads(check) == ["hexhub", "health", "live"]
        assert node.command("health", "live") == "ok"
        assert node.command("health") == "ok"
    finally:
        code = node.stop()
    assert code == 0
    assert node.try_command("health", "live").code == 6
    first = node.log_text().splitlines()[-1]
    assert json.loads(first)["event"] == "stopped"


def test_the_compose_file_is_what_gen_config_prints() -> None:
    printed = (ROOT / "hexhub/cli/generated/compose.txt").read_text()
    assert (ROOT / "docker-compose.yml").read_text() == printed


def test_the_compose_file_gives_nodes_only_settings_and_no_rights(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    nodes = {n: s for n, s in compose["services"].items() if n != "proxy"}
    assert set(nodes) == {"hexhub", "hub1", "hub2", "hub3"}
    (tmp_path / "secret").write_text("0" * 64)
    for service in nodes.values():
        assert service["user"] == "10001:10001"
        assert service["read_only"] is True
        given = {
            name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
            for name, text in service["environment"].items()
        }
        assert set(given) <= setting_names(tmp_path)
        if "SECRET_KEY_BASE_FILE" in given:
            given["SECRET_KEY_BASE_FILE"] = str(tmp_path / "secret")
        image = {"HEXHUB_HOST": image_environment()["HEXHUB_HOST"]}
        check_listening(load(image | given, checkout=tmp_path))
    members = {s["environment"]["NODE_NAME"] for n, s in nodes.items() if n != "hexhub"}
    named = nodes["hub1"]["environment"]["CLUSTER_NODES"].split(",")
    assert {each.partition("@")[0] for each in named} == members
    volumes = [s["volumes"][0].partition(":")[0] for s in nodes.values()]
    assert sorted(volumes) == sorted(compose["volumes"])


def test_the_compose_file_fits_the_compose_specification() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [str(program), *schema, str(ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_linted() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(program), "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
